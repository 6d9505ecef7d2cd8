-- Remove a session with its run and its queue, without an `end`. A later `say` begins a new one.
--
-- ARGV  1 channel  2 member prefix '<session> '  3 `gone` entry
-- Returns {'gone', 1 if there was one}
-- Nothing is written but removals, so that it works where memory is short: `gone` is told, and not kept.

local ms, seq, run = head('ms', 'seq', 'run')
hint()
redis.call('DEL', HEAD, LOG, RUN, TURNS, SAID, IDS, QUEUE)
if seq == '' then
  return {'gone', 0}
end
if run ~= '' then
  redis.call('ZREM', LEASES, ARGV[2] .. run)
end
local at = id_of(math.max(clock(), tonumber(ms)), tonumber(seq) + 1)
redis.call('PUBLISH', ARGV[1], ms .. '-' .. seq .. ' ' .. at .. ' ' .. ARGV[3])
return {'gone', 1}
