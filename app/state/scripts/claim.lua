-- Take over a run whose lease ran out, or was given up, or whose time to wait for a person has passed: raise the fence,
-- count the attempt, say so in the log.
--
-- ARGV  1 channel  2 member  3 run  4 incarnation  5 node's name  6 lease ms  7 window  8 max attempts
--       9 what the claimer's models can, packed: {model = restart | continue | resume | fail}
-- Returns {'claimed', as `hand` gives it, how, entries, place, used}
--         how: restart | continue | resume, to answer | stopped | unavailable | model_timeout, to end what stands
--         entries: the run's log as it stands; place: where its upstream is taken up, for resume; used: so far, packed
--       | {'kept'}: its lease lives, or its model is not the claimer's | {'over'}: no such run, and the index is told
-- Asked again because its answer was lost, it gives the claim that stands. A hand-over (the lease was given up on
-- purpose) is no attempt, and neither is going on after a hold. Between two steps nothing is begun anew: calls that have
-- settled stand, and one that may not be made twice, and may have been made, ends the run.

local member, run, incarnation, window = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[7])
local current, now_incarnation, count, stop, place = head('run', 'incarnation', 'count', 'stop', 'place')
if current ~= run then
  redis.call('ZREM', LEASES, member)
  return {'over'}
end
local attempt, model, deadline, released, how, request = unpack(
  redis.call('HMGET', RUN, 'attempt', 'model', 'deadline', 'released', 'how', 'request'))
local held, left, open, settled, partial = unpack(
  redis.call('HMGET', RUN, 'held', 'left', 'open', 'settled', 'partial'))

local function claimed()
  local began, used = unpack(redis.call('HMGET', RUN, 'began', 'usage'))
  return {'claimed', hand(window), how, redis.call('XRANGE', LOG, began, '+'), place, used or ''}
end

if tonumber(redis.call('ZSCORE', LEASES, member) or 0) > clock() then
  return how and now_incarnation == incarnation and count == '0' and claimed() or {'kept'}
end

local can, asks = cmsgpack.unpack(ARGV[9])[model], asked()
local between = open == 'idempotent' or #asks > 0 or (held and partial ~= '1')
attempt = tonumber(attempt) + ((released or held) and 0 or 1)
if held and not released then
  deadline = string.format('%.0f', head('until') + left)
end
if stop == '1' or (held == 'pause' and not released) then
  how = 'stopped'
elseif clock() >= tonumber(deadline) then
  how = 'model_timeout'
elseif attempt > tonumber(ARGV[8]) or how == 'unavailable' or open == 'once'
    or (can == 'fail' and count ~= '0' and not between) then
  how = 'unavailable'
elseif not can then
  return {'kept'}
elseif between then
  how = 'continue'
else
  how = (can == 'continue' or (can == 'resume' and place ~= '')) and can or 'restart'
end

redis.call('HINCRBY', HEAD, 'fence', 1)
redis.call('HSET', HEAD, 'incarnation', incarnation, 'count', 0, 'state', 'running')
redis.call('HDEL', HEAD, 'until')
if how == 'restart' or how == 'continue' then
  redis.call('HDEL', HEAD, 'place')
  place = ''
end
redis.call('HDEL', RUN, 'released', 'held', 'held_by', 'left', 'end', 'turn', 'partial')
redis.call('HSET', RUN, 'attempt', attempt, 'how', how, 'deadline', deadline)
lease(member, tonumber(ARGV[6]))
local entries = held and deny(run, asks, 'expiry') or {}
if #entries > 0 then
  redis.call('HSET', RUN, 'asks', cmsgpack.pack(asks))
end
if how == 'restart' or how == 'continue' or how == 'resume' then
  entries[#entries + 1] = run_entry(run, cmsgpack.unpack(request).turn, attempt, how, ARGV[5], model)
end
if #entries > 0 then
  local _, at = add(ARGV[1], entries)
  if how == 'restart' and not settled then
    redis.call('HSET', RUN, 'began', at)
  end
end
return claimed()
