-- A run's writer tries once more: its model broke off in mid-answer, or another one is to be asked.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 count  7 lease ms  8 max attempts
--       9 restart | continue  10 node's name  11 the model to be asked instead, which is no attempt more; or ''
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
model = ARGV[11] ~= '' and ARGV[11] or model
attempt = tonumber(attempt) + (ARGV[11] ~= '' and 0 or 1)
if attempt > tonumber(ARGV[8]) then
  return {'used_up'}
end

local turn = cmsgpack.unpack(request).turn
local after, at = add(channel, {run_entry(run, turn, attempt, how, ARGV[10], model)})
redis.call('HSET', HEAD, 'count', count + 1, 'after', after, 'at', at)
redis.call('HDEL', HEAD, 'place')
redis.call('HSET', RUN, 'attempt', attempt, 'model', model)
if how == 'restart' and redis.call('HEXISTS', RUN, 'settled') == 0 then
  redis.call('HSET', RUN, 'began', at)
end
lease(ARGV[2], tonumber(ARGV[7]))
return {'again', attempt, stop}
