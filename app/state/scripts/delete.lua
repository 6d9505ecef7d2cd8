-- Remove a session with its run and its queue, without an `end`. A later `say` begins a new one; but not one that was
-- said in this one, and comes again, or late: digests of them are kept for a while.
--
-- ARGV  1 channel  2 member prefix '<session> '  3 `gone` entry  4 ms for which digests are kept
-- Returns {'gone', 1 if there was one}
-- The first write is a removal, so that it works where memory is short. `gone` is told, and not kept.

local ms, seq, run = head('ms', 'seq', 'run')
local ids, now = redis.call('LRANGE', IDS, 0, -1), clock()
local said = #ids > 0 and redis.call('HMGET', SAID, unpack(ids)) or {}
hint()
redis.call('DEL', HEAD, LOG, RUN, TURNS, SAID, IDS, QUEUE, REPLACED)
if seq == '' then
  return {'gone', 0}
end
if run ~= '' then
  redis.call('ZREM', LEASES, ARGV[2] .. run)
end
redis.call('ZREMRANGEBYSCORE', GONE, '-inf', now)
for i, id in ipairs(ids) do
  redis.call('ZADD', GONE, now + ARGV[4], trace(id, string.match(said[i], '^%S+')))
end
redis.call('PEXPIRE', GONE, ARGV[4])
local at = id_of(math.max(now, tonumber(ms)), tonumber(seq) + 1)
redis.call('PUBLISH', ARGV[1], ms .. '-' .. seq .. ' ' .. at .. ' ' .. ARGV[3])
return {'gone', 1}
