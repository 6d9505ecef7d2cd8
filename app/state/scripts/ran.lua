-- Sessions of a user run no more: give their places up, unless somebody has spoken there since.
--
-- KEYS  1 the user's running answers
-- ARGV  for each session: its id, and the ms of what ended, or was seen to be over
-- Returns how many places were given up

local given = 0
for i = 1, #ARGV, 2 do
  local spoken = tonumber(redis.call('HGET', KEYS[1], ARGV[i]))
  if spoken and spoken <= tonumber(ARGV[i + 1]) then
    given = given + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return given
