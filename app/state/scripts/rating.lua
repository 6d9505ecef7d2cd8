-- A person rates an answer, or takes that back: it is laid over the answer's turn, and told.
--
-- ARGV  1 channel  2 turn  3 `rating` entry  4 map with `rating` to lay over the turn, or ''  5 session ttl ms
-- Returns {'rated', at} | {'not_found'}

local index, line, turn = turn_of(ARGV[2])
if not index or turn.role ~= 'assistant' then
  return {'not_found'}
end
local _, head_ends = string.find(line, '^%S+ %S+ ')
local maps, kept, offset = string.sub(line, head_ends + 1), {string.sub(line, 1, head_ends)}, 0
while offset >= 0 do
  local next_offset, map = cmsgpack.unpack_one(maps, offset)
  if not map.rating then
    kept[#kept + 1] = string.sub(maps, offset + 1, next_offset)
  end
  offset = next_offset
end
kept[#kept + 1] = ARGV[4]
local rated = table.concat(kept)
if rated == line then
  return {'rated', top()}
end
redis.call('LSET', TURNS, index, rated)
local _, at = add(ARGV[1], {ARGV[3]})
touch(tonumber(ARGV[5]))
return {'rated', at}
