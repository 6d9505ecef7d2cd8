-- A run's writer lets it wait for a person: its lease is over, its record has all that a script needs to end it, and the
-- search for lost runs finds it when its time to wait has passed. A pause that is wanted of one that waits for answers
-- comes after them.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 count  7 approval | pause  8 ms until which it waits
--       9 session ttl ms  10 its `end` and 11 its turn, should it be ended meanwhile  12 '1' if it has text since its last
--       settled call  13 what it has used so far, packed, or ''  14 `hold` entry
-- Returns {'held', at} | {'decided', encoded answers}: nobody needs to be waited for any more | {'stop'}: it is to end
--       | {'lost', count} | {'fenced'}

local run, incarnation, count, why = ARGV[3], ARGV[5], tonumber(ARGV[6]), ARGV[7]
local current, fence, at = head('run', 'fence', 'at')
if current == run and fence == ARGV[4] and redis.call('HGET', RUN, 'held_by') == incarnation then
  return {'held', at}
end
local mine, made, stop = writes(run, ARGV[4], incarnation, 'count', 'stop')
if not mine then
  return {'fenced'}
end
made = tonumber(made)
if made ~= count then
  return {'lost', made}
end
if stop == '1' then
  return {'stop'}
end
local answers, waits = {}, false
for _, ask in ipairs(asked()) do
  answers[#answers + 1] = ask[2] ~= '' and ask[2] or nil
  waits = waits or ask[2] == ''
end
if why == 'approval' and not waits or why == 'pause' and stop ~= 'pause' then
  return {'decided', answers}
end

local after
after, at = add(ARGV[1], {ARGV[14]})
redis.call('HSET', HEAD, 'count', count + 1, 'after', after, 'at', at, 'state', 'held', 'incarnation', '',
  'until', ARGV[8])
if why == 'pause' then
  redis.call('HDEL', HEAD, 'stop')
end
redis.call('HSET', RUN, 'held', why, 'held_by', incarnation, 'end', ARGV[10], 'turn', ARGV[11], 'partial', ARGV[12],
  'usage', ARGV[13], 'left', string.format('%.0f', redis.call('HGET', RUN, 'deadline') - clock()))
redis.call('ZADD', LEASES, ARGV[8], ARGV[2])
touch(tonumber(ARGV[9]))
return {'held', at}
