-- Carry on a run that was paused, on any node.
--
-- ARGV  1 member  2 run  3 the bell's channel
-- Returns {'resumed', at} | {'asks'}: it waits for answers | {'over'}: it has ended | {'waits'}: it has not begun
--       | {'not_found'}

local run = ARGV[2]
local current, state, stop = head('run', 'state', 'stop')
if current ~= run then
  return {elsewhere(run)}
end
if stop == 'pause' then
  redis.call('HDEL', HEAD, 'stop')
elseif state == 'held' then
  if redis.call('HGET', RUN, 'held') == 'approval' then
    return {'asks'}
  end
  offer(ARGV[1], ARGV[3])
end
return {'resumed', top()}
