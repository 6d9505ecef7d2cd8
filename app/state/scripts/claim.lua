-- Take over a run whose lease ran out, or was given up: raise the fence, count the attempt, say so in the log.
--
-- ARGV  1 channel  2 member  3 run  4 incarnation  5 node's name  6 lease ms  7 window  8 max attempts
-- Returns {'claimed', given, ending, entries}
--         ending: '' to answer anew | 'stopped' | 'unavailable' | 'model_timeout' to end what stands, in `entries`
--       | {'kept'}: its lease lives | {'over'}: no such run, and the index is told
-- A hand-over (the lease was given up on purpose) is no attempt.

local member, run, node = ARGV[2], ARGV[3], ARGV[4]
local current, now_node, count, stop = head('run', 'node', 'count', 'stop')
if current ~= run then
  redis.call('ZREM', LEASES, member)
  return {'over'}
end
local score = tonumber(redis.call('ZSCORE', LEASES, member) or 0)
if score > clock() and not (now_node == node and count == '0') then
  return {'kept'}
end

local attempt, model, began, deadline, released = unpack(
  redis.call('HMGET', RUN, 'attempt', 'model', 'began', 'deadline', 'released'))
attempt = tonumber(attempt) + (released and 0 or 1)
local ending = ''
if stop == '1' then
  ending = 'stopped'
elseif clock() >= tonumber(deadline) then
  ending = 'model_timeout'
elseif attempt > tonumber(ARGV[8]) then
  ending = 'unavailable'
end

redis.call('HINCRBY', HEAD, 'fence', 1)
redis.call('HSET', HEAD, 'node', node, 'count', 0, 'state', 'running')
redis.call('HDEL', RUN, 'released')
lease(member, tonumber(ARGV[6]))
if ending == '' then
  local request = cmsgpack.unpack(redis.call('HGET', RUN, 'request'))
  local _, at = add(ARGV[1], {run_entry(run, request.turn, attempt, 'restart', ARGV[5], model)})
  redis.call('HSET', RUN, 'attempt', attempt, 'began', at)
  return {'claimed', given(node, tonumber(ARGV[7])), ending, {}}
end
return {'claimed', given(node, tonumber(ARGV[7])), ending, redis.call('XRANGE', LOG, began, '+')}
