-- Put a turn into the history that nobody said here: of a user, or with its answer's whole text. Once for each id.
--
-- ARGV  1 channel  2 turn id  3 turn for the history  4 max turns  5 max entries  6 session ttl ms  7 max ids  8 title
--       9… entries, the last of which dates the turn
-- Returns {'put', at} | {'busy'}

local id = ARGV[2]
local said = redis.call('HGET', SAID, 'put:' .. id)
if said then
  return {'put', said}
end
if (head('run')) ~= '' then
  return {'busy'}
end
found(ARGV[8])
local entries = {}
for i = 9, #ARGV do
  entries[i - 8] = ARGV[i]
end
local _, at, ids = add(ARGV[1], entries)
remember(ids[#ids], id, ARGV[3], tonumber(ARGV[4]))
redis.call('HSET', SAID, 'put:' .. id, ids[#ids])
know('put:' .. id, tonumber(ARGV[7]))
trim(tonumber(ARGV[5]))
touch(tonumber(ARGV[6]))
return {'put', at}
