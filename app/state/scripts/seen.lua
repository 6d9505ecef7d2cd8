-- Count that a user has spoken, once for each run.
--
-- KEYS  1 the user's context  2 whether this run was counted
-- ARGV  1 ttl ms  2 ms for which it is known that a run was counted
-- Returns 1 if it was counted now

if not redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[2]) then
  return 0
end
local time = redis.call('TIME')
redis.call('HINCRBY', KEYS[1], 'times', 1)
redis.call('HSET', KEYS[1], 'spoke_at', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
