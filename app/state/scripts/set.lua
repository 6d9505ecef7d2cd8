-- Change a session's settings, and tell its readers. A session that is not there begins with that.
--
-- ARGV  1 channel  2 `meta` entry  3 session ttl ms  4… names and JSON values in turn, '' removes one
-- Returns {'set', at}

local set, removed = {}, {}
for i = 4, #ARGV, 2 do
  local field = 's:' .. ARGV[i]
  local before = (head(field))
  if ARGV[i + 1] == '' and before ~= '' then
    removed[#removed + 1] = field
  elseif ARGV[i + 1] ~= '' and before ~= ARGV[i + 1] then
    set[#set + 1] = field
    set[#set + 1] = ARGV[i + 1]
  end
end
if #set + #removed == 0 then
  return {'set', top()}
end
found('')
if #removed > 0 then
  redis.call('HDEL', HEAD, unpack(removed))
end
if #set > 0 then
  redis.call('HSET', HEAD, unpack(set))
end
local _, at = add(ARGV[1], {ARGV[2]})
touch(tonumber(ARGV[3]))
return {'set', at}
