-- Take over a run whose lease ran out, or was given up: raise the fence, count the attempt, say so in the log.
--
-- ARGV  1 channel  2 member  3 run  4 incarnation  5 node's name  6 lease ms  7 window  8 max attempts
--       9 what the claimer's models can, packed: {model = restart | continue | fail}
-- Returns {'claimed', as `hand` gives it, how, entries}
--         how: restart | continue, to answer | stopped | unavailable | model_timeout, to end what stands
--         entries: the run's log as it stands, but for restart
--       | {'kept'}: its lease lives, or its model is not the claimer's | {'over'}: no such run, and the index is told
-- Asked again because its answer was lost, it gives the claim that stands. A hand-over (the lease was given up on
-- purpose) is no attempt.

local member, run, incarnation, window = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[7])
local current, now_incarnation, count, stop = head('run', 'incarnation', 'count', 'stop')
if current ~= run then
  redis.call('ZREM', LEASES, member)
  return {'over'}
end
local attempt, model, began, deadline, released, how, request = unpack(
  redis.call('HMGET', RUN, 'attempt', 'model', 'began', 'deadline', 'released', 'how', 'request'))

local function claimed()
  return {'claimed', hand(window), how, how == 'restart' and {} or redis.call('XRANGE', LOG, began, '+')}
end

if tonumber(redis.call('ZSCORE', LEASES, member) or 0) > clock() then
  return how and now_incarnation == incarnation and count == '0' and claimed() or {'kept'}
end

local can = cmsgpack.unpack(ARGV[9])[model]
attempt = tonumber(attempt) + (released and 0 or 1)
if stop == '1' then
  how = 'stopped'
elseif clock() >= tonumber(deadline) then
  how = 'model_timeout'
elseif attempt > tonumber(ARGV[8]) or how == 'unavailable' or (can == 'fail' and count ~= '0') then
  how = 'unavailable'
elseif not can then
  return {'kept'}
else
  how = can == 'continue' and 'continue' or 'restart'
end

redis.call('HINCRBY', HEAD, 'fence', 1)
redis.call('HSET', HEAD, 'incarnation', incarnation, 'count', 0)
redis.call('HDEL', RUN, 'released')
redis.call('HSET', RUN, 'attempt', attempt, 'how', how)
lease(member, tonumber(ARGV[6]))
if how == 'restart' or how == 'continue' then
  local turn = cmsgpack.unpack(request).turn
  local _, at = add(ARGV[1], {run_entry(run, turn, attempt, how, ARGV[5], model)})
  if how == 'restart' then
    redis.call('HSET', RUN, 'began', at)
  end
end
return claimed()
