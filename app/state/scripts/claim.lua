-- Take over a run whose lease ran out, or was given up: raise the fence, count the attempt, say so in the log.
--
-- ARGV  1 channel  2 member  3 run  4 incarnation  5 node's name  6 lease ms  7 window  8 max attempts
-- Returns {'claimed', as `hand` gives it, ending, entries}
--         ending: '' to answer anew | 'stopped' | 'unavailable' | 'model_timeout' to end what stands, in `entries`
--       | {'kept'}: its lease lives | {'over'}: no such run, and the index is told
-- Asked again because its answer was lost, it gives the claim that stands. A hand-over (the lease was given up on
-- purpose) is no attempt.

local member, run, incarnation, window = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[7])
local current, now_incarnation, count, stop = head('run', 'incarnation', 'count', 'stop')
if current ~= run then
  redis.call('ZREM', LEASES, member)
  return {'over'}
end
local attempt, model, began, deadline, released, ending, request = unpack(
  redis.call('HMGET', RUN, 'attempt', 'model', 'began', 'deadline', 'released', 'ending', 'request'))

local function claimed()
  return {'claimed', hand(window), ending or '', ending and redis.call('XRANGE', LOG, began, '+') or {}}
end

if tonumber(redis.call('ZSCORE', LEASES, member) or 0) > clock() then
  return now_incarnation == incarnation and count == '0' and claimed() or {'kept'}
end

attempt = tonumber(attempt) + (released and 0 or 1)
if stop == '1' then
  ending = 'stopped'
elseif clock() >= tonumber(deadline) then
  ending = 'model_timeout'
elseif attempt > tonumber(ARGV[8]) then
  ending = 'unavailable'
else
  ending = false
end

redis.call('HINCRBY', HEAD, 'fence', 1)
redis.call('HSET', HEAD, 'incarnation', incarnation, 'count', 0)
redis.call('HDEL', RUN, 'released')
redis.call('HSET', RUN, 'attempt', attempt)
lease(member, tonumber(ARGV[6]))
if ending then
  redis.call('HSET', RUN, 'ending', ending)
else
  local turn = cmsgpack.unpack(request).turn
  local _, at = add(ARGV[1], {run_entry(run, turn, attempt, 'restart', ARGV[5], model)})
  redis.call('HSET', RUN, 'began', at)
end
return claimed()
