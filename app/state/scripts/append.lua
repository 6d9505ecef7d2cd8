-- A run's writer appends entries, and renews its lease with that.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 count (appends made before)  7 lease ms
--       8 where its upstream can be taken up again after these, or ''  9… entries
-- Returns {'appended', after, at, stop} | {'already', after, at, stop} | {'lost', count} | {'fenced'}
-- 'stop' is '1' if somebody wants the run to end, 'pause' to be held, else ''.
-- 'already': this append was made and its answer lost. 'lost': Redis forgot appends that it had confirmed.

local channel, member, count = ARGV[1], ARGV[2], tonumber(ARGV[6])
local mine, made, after, at, stop, ms, seq = writes(
  ARGV[3], ARGV[4], ARGV[5], 'count', 'after', 'at', 'stop', 'ms', 'seq')
if not mine then
  return {'fenced'}
end
made = tonumber(made)
if made == count + 1 then
  lease(member, tonumber(ARGV[7]))
  return {'already', after, at, stop}
end
if made ~= count then
  return {'lost', made}
end

after, at, ms, seq = put(channel, {unpack(ARGV, 9)}, ms, seq)
redis.call('HSET', HEAD, 'ms', ms, 'seq', seq, 'count', count + 1, 'after', after, 'at', at)
if ARGV[8] ~= '' then
  redis.call('HSET', HEAD, 'place', ARGV[8])
end
lease(member, tonumber(ARGV[7]))
return {'appended', after, at, stop}
