-- Carry on a run that was paused, on any node.
--
-- ARGV  1 member  2 run  3 the bell's channel
-- Returns {'resumed', at} | {'asks'}: it waits for answers | {'over'}: it has ended | {'not_found'}

local run = ARGV[2]
local current, state, stop = head('run', 'state', 'stop')
if current ~= run then
  return {redis.call('HEXISTS', SAID, 'r:' .. run) == 1 and 'over' or 'not_found'}
end
if state == 'held' then
  if redis.call('HGET', RUN, 'held') == 'approval' then
    return {'asks'}
  end
  offer(ARGV[1], ARGV[3])
elseif stop == 'pause' then
  redis.call('HDEL', HEAD, 'stop')
end
return {'resumed', top()}
