-- A run's writer puts back what Redis has forgotten of its appends (a failover), under the old ids.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 count (appends that Redis remembers)  7 lease ms
--       8 the cursor before the first lost append  9 where its upstream can be taken up again after these, or ''
--       10… each lost append: its last id, how many entries, the entries
-- Returns {'restored', count} | {'moved'}: something came after, and the ids are taken | {'fenced'}
-- Only if nothing came after can the old ids be given again: then no reader's cursor is wrong, and none notices.

local channel, count, groups = ARGV[1], tonumber(ARGV[6]), {}
local index = 10
while index <= #ARGV do
  local size = tonumber(ARGV[index + 1])
  groups[#groups + 1] = {at = ARGV[index], entries = {unpack(ARGV, index + 2, index + 1 + size)}}
  index = index + 2 + size
end
local mine, made = writes(ARGV[3], ARGV[4], ARGV[5], 'count')
if not mine then
  return {'fenced'}
end
made = tonumber(made)
if made ~= count then
  return made == count + #groups and {'restored', made} or {'moved'}
end
if top() ~= ARGV[8] then
  return {'moved'}
end
local last = tonumber(string.match(ARGV[8], '%-(%d+)'))
for _, group in ipairs(groups) do
  local seq = tonumber(string.match(group.at, '%-(%d+)'))
  if seq - #group.entries ~= last then
    return {'moved'}
  end
  last = seq
end

local after = ARGV[8]
for _, group in ipairs(groups) do
  local ms, seq = string.match(group.at, '(%d+)-(%d+)')
  for i, entry in ipairs(group.entries) do
    redis.call('XADD', LOG, id_of(tonumber(ms), tonumber(seq) - #group.entries + i), 'e', entry)
  end
  redis.call('HSET', HEAD, 'ms', ms, 'seq', seq, 'after', after, 'at', group.at)
  redis.call('PUBLISH', channel, after .. ' ' .. group.at .. ' ' .. table.concat(group.entries))
  after = group.at
end
redis.call('HSET', HEAD, 'count', count + #groups)
if ARGV[9] ~= '' then
  redis.call('HSET', HEAD, 'place', ARGV[9])
end
lease(ARGV[2], tonumber(ARGV[7]))
return {'restored', count + #groups}
