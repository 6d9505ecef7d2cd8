-- Turns before a turn, oldest first: of the history, or of those that left it together for another.
--
-- ARGV  1 turn id, or '' for the newest  2 max turns  3 max bytes  4 '', or a turn: those whose place it took; if it
--       took none, but left the history itself, those that left it together
-- Returns {'turns', turns, more} | {'not_found'}

local line, last
if ARGV[4] == '' then
  line, last = function(index) return redis.call('LINDEX', TURNS, index) end, redis.call('LLEN', TURNS) - 1
else
  local kept, by, out = redis.call('LRANGE', REPLACED, 0, -1), nil, {}
  for _, one in ipairs(kept) do
    local its_by, id = string.match(one, '^(%S+) %S+ (%S+)')
    by = its_by == ARGV[4] and ARGV[4] or by or id == ARGV[4] and its_by or nil
  end
  if not by and not turn_of(ARGV[4]) then
    return {'not_found'}
  end
  for _, one in ipairs(kept) do
    local its_by, rest = string.match(one, '^(%S+) (.*)$')
    if its_by == by then
      out[#out + 1] = rest
    end
  end
  line, last = function(index) return out[index + 1] end, #out - 1
end

if ARGV[1] ~= '' then
  while last >= 0 and string.match(line(last), '^%S+ (%S+)') ~= ARGV[1] do
    last = last - 1
  end
  if last < 0 then
    return {'not_found'}
  end
  last = last - 1
end
local turns, more = newest(line, last, tonumber(ARGV[2]), tonumber(ARGV[3]))
return {'turns', turns, more}
