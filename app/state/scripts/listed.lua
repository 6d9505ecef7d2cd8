-- A session of a user's changed: move it up in the list, or take it out, and tell the user's nodes.
--
-- KEYS  1 the user's sessions
-- ARGV  1 channel  2 session id  3 'here' | 'changed' | 'gone'  4 max sessions  5 ttl ms
-- Returns nothing of use

if ARGV[3] == 'gone' then
  redis.call('ZREM', KEYS[1], ARGV[2])
elseif ARGV[3] == 'here' then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[2])
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[4]) - 1)
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
