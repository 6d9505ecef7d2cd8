-- Give a session a title: a person does, or the model for the run whose end was told to.
--
-- ARGV  1 channel  2 title  3 `meta` entry  4 session ttl ms  5 '' for a person, or the run
-- Returns {'set', at} | {'not_found'} | {'late'}: a person was quicker, or another run's end was told to since

if redis.call('EXISTS', HEAD) == 0 then
  return {'not_found'}
end
if ARGV[5] ~= '' and string.match(head('titled'), '^%d+ (.*)') ~= ARGV[5] then
  return {'late'}
end
redis.call('HSET', HEAD, 'titled', '-')
if (head('title')) == ARGV[2] then
  return {'set', top()}
end
redis.call('HSET', HEAD, 'title', ARGV[2])
local _, at = add(ARGV[1], {ARGV[3]})
touch(tonumber(ARGV[4]))
return {'set', at}
