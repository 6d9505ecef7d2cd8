-- Give a session a title.
--
-- ARGV  1 channel  2 title  3 `meta` entry  4 session ttl ms
-- Returns {'set', at} | {'not_found'}

if redis.call('EXISTS', HEAD) == 0 then
  return {'not_found'}
end
if (head('title')) == ARGV[2] then
  return {'set', top()}
end
redis.call('HSET', HEAD, 'title', ARGV[2])
local _, at = add(ARGV[1], {ARGV[3]})
touch(tonumber(ARGV[4]))
return {'set', at}
