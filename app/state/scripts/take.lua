-- Take what may be taken once. The same taker may ask again, where the answer was lost, for a minute.
--
-- KEYS  1 the key
-- ARGV  1 who takes, random
-- Returns its value, or nothing

local value = redis.call('GET', KEYS[1])
if not value then
  return false
end
local taker, taken = string.match(value, '^taken (%x+) (.*)$')
if taker then
  return taker == ARGV[1] and taken or false
end
redis.call('SET', KEYS[1], 'taken ' .. ARGV[1] .. ' ' .. value, 'PX', 60000)
return value
