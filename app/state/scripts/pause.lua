-- Ask for a run to be held, at the next safe point: one that waits for answers, once it has them.
--
-- ARGV  1 run
-- Returns {'pausing' | 'held', at} | {'over'}: it has ended | {'waits'}: it has not begun | {'not_found'}

local run = ARGV[1]
local current, state, stop = head('run', 'state', 'stop')
if current == run then
  if stop ~= '1' and (state ~= 'held' or redis.call('HGET', RUN, 'held') == 'approval') then
    redis.call('HSET', HEAD, 'stop', 'pause')
    hint()
  end
  return {state == 'held' and 'held' or 'pausing', top()}
end
return {elsewhere(run)}
