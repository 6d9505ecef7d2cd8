-- Revoke what was issued to a user, or by one token, until now. What was revoked longest ago is forgotten in time.
--
-- KEYS  1 what was revoked, by when
-- ARGV  1 member  2 ms after which it is forgotten
-- Returns when, in ms

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return now
