-- A user is about to speak in a session: take from the limits, and a place among the user's running answers. A session
-- that has a place keeps it, since what is said there waits its turn.
--
-- KEYS  1 the user's running answers, by session: when somebody last spoke there, in ms  2 what was used, by day
--       3… limits
-- ARGV  1 session id  2 max running  3 max used a day  (0: as many as they like)  4… as in rate
-- Returns {'taken'} | {'limited', place, ms} | {'used_up', ms to midnight} | {'running', sessions and times}

local session, running, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local today = math.floor(now / 86400000000)
if most > 0 and (tonumber(redis.call('HGET', KEYS[2], today)) or 0) >= most then
  return {'used_up', math.ceil(((today + 1) * 86400000000 - now) / 1000)}
end
if running > 0 and redis.call('HEXISTS', KEYS[1], session) == 0 and redis.call('HLEN', KEYS[1]) >= running then
  return {'running', redis.call('HGETALL', KEYS[1])}
end
local later, place, ms = looked(3, 4)
if not later then
  return {'limited', place, ms}
end
take(later)
if running > 0 then
  redis.call('HSET', KEYS[1], session, string.format('%.0f', math.floor(now / 1000)))
  redis.call('PEXPIRE', KEYS[1], 86400000)
end
return {'taken'}
