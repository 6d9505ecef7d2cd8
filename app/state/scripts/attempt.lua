-- A run's writer tries once more: its model broke off in mid-answer.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 count  7 lease ms  8 max attempts
--       9 restart | continue  10 node's name
-- Returns {'again', attempt, stop} | {'used_up'} | {'lost', count} | {'fenced'}
-- It is an append of the writer's, and counts as one.

local channel, run, count, how = ARGV[1], ARGV[3], tonumber(ARGV[6]), ARGV[9]
local mine, made, stop = writes(run, ARGV[4], ARGV[5], 'count', 'stop')
if not mine then
  return {'fenced'}
end
made = tonumber(made)
local attempt, model, request = unpack(redis.call('HMGET', RUN, 'attempt', 'model', 'request'))
if made == count + 1 then
  lease(ARGV[2], tonumber(ARGV[7]))
  return {'again', attempt, stop}
end
if made ~= count then
  return {'lost', made}
end
attempt = tonumber(attempt) + 1
if attempt > tonumber(ARGV[8]) then
  return {'used_up'}
end

local turn = cmsgpack.unpack(request).turn
local after, at = add(channel, {run_entry(run, turn, attempt, how, ARGV[10], model)})
redis.call('HSET', HEAD, 'count', count + 1, 'after', after, 'at', at)
redis.call('HSET', RUN, 'attempt', attempt)
if how == 'restart' then
  redis.call('HSET', RUN, 'began', at)
end
lease(ARGV[2], tonumber(ARGV[7]))
return {'again', attempt, stop}
