-- A session as it stands: what a reader without a cursor begins with.
--
-- ARGV  1 max turns  2 max bytes of turns
-- Returns {at, title, turns, more, queued, run?}, run = {run, its log entries since it began}

local title, run = head('title', 'run')
local turns, more = newest(redis.call('LLEN', TURNS) - 1, tonumber(ARGV[1]), tonumber(ARGV[2]))
local running = false
if run ~= '' then
  local began = redis.call('HGET', RUN, 'began')
  running = {run, redis.call('XRANGE', LOG, began, '+')}
end
return {top(), title, turns, more, redis.call('LRANGE', QUEUE, 0, -1), running}
