-- A node's sign of life, and what every node must know soon: who was revoked.
--
-- KEYS  1 nodes, by the ms of their last sign of life  2 what was revoked, by when  3 sign-ins that were ended, by when
-- ARGV  1 incarnation, '' for who is no node  2 the ms of silence after which a node is dead  3 since when, in ms
-- Returns now in ms, and revoked members with their ms

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local revoked = {}
for i = 2, 3 do
  for _, part in ipairs(redis.call('ZRANGE', KEYS[i], ARGV[3], '+inf', 'BYSCORE', 'WITHSCORES')) do
    revoked[#revoked + 1] = part
  end
end
return {now, revoked}
