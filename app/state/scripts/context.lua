-- Change named values, all or none, and count that as a version; tell nodes that what they keep of them is stale.
--
-- KEYS  1 the values: `v:<name>` each, and the version
-- ARGV  1 channel  2 the version that it must have, or ''  3 max bytes of names and values  4 ttl ms
--       5… names and values in turn, '' removes one
-- Returns {'set', fields and values} | {'conflict', fields and values} | {'too_long', bytes}
-- Made again, where the answer was lost, it finds its own change, and says the same.

local was, version, size = {}, 0, 0
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
  if stored[i] == 'version' then
    version = tonumber(stored[i + 1])
  elseif string.sub(stored[i], 1, 2) == 'v:' then
    was[stored[i]] = stored[i + 1]
    size = size + #stored[i] + #stored[i + 1]
  end
end

local set, removed = {}, {}
for i = 5, #ARGV, 2 do
  local field, value = 'v:' .. ARGV[i], ARGV[i + 1]
  local before = was[field]
  if value == '' and before then
    removed[#removed + 1] = field
    size = size - #field - #before
  elseif value ~= '' and value ~= before then
    set[#set + 1] = field
    set[#set + 1] = value
    size = size + #value - (before and #before or -#field)
  end
end

local changes = #set + #removed > 0
if changes and ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then
  return {'conflict', stored}
end
if changes and size > tonumber(ARGV[3]) then
  return {'too_long', size}
end
if changes then
  if #removed > 0 then
    redis.call('HDEL', KEYS[1], unpack(removed))
  end
  if #set > 0 then
    redis.call('HSET', KEYS[1], unpack(set))
  end
  redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('PUBLISH', ARGV[1], '')
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'set', redis.call('HGETALL', KEYS[1])}
