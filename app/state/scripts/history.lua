-- Turns before a turn, oldest first.
--
-- ARGV  1 turn id, or '' for the newest  2 max turns  3 max bytes
-- Returns {'turns', turns, more} | {'not_found'}

local last = redis.call('LLEN', TURNS) - 1
if ARGV[1] ~= '' then
  while last >= 0 do
    if string.match(redis.call('LINDEX', TURNS, last), '^%S+ (%S+)') == ARGV[1] then
      break
    end
    last = last - 1
  end
  if last < 0 then
    return {'not_found'}
  end
  last = last - 1
end
local turns, more = newest(last, tonumber(ARGV[2]), tonumber(ARGV[3]))
return {'turns', turns, more}
