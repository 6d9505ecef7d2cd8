-- A session as it stands: what a reader without a cursor begins with.
--
-- ARGV  1 max turns  2 max bytes of turns
-- Returns {at, title, turns, more, queued, run?, settings}: run = {run, its log entries since it began, ids of what it
-- replaces?}, settings = its model, temperature and prompt, as JSON or ''

local title, run = head('title', 'run')
local function line(index)
  return redis.call('LINDEX', TURNS, index)
end
local turns, more = newest(line, redis.call('LLEN', TURNS) - 1, tonumber(ARGV[1]), tonumber(ARGV[2]))
local running = false
if run ~= '' then
  local began, replaced = unpack(redis.call('HMGET', RUN, 'began', 'replaced'))
  running = {run, redis.call('XRANGE', LOG, began, '+'), replaced}
end
return {top(), title, turns, more, redis.call('LRANGE', QUEUE, 0, -1), running,
  {head('s:model', 's:temperature', 's:prompt')}}
