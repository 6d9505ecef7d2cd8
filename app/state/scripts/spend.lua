-- Add to what a user has used today (UTC, by Redis's clock), and forget what is older than a month.
--
-- KEYS  1 what was used, by day since 1970
-- ARGV  1 how much
-- Returns what was used today

local today = math.floor(redis.call('TIME')[1] / 86400)
local used = redis.call('HINCRBY', KEYS[1], today, ARGV[1])
if redis.call('HLEN', KEYS[1]) > 31 then
  for _, day in ipairs(redis.call('HKEYS', KEYS[1])) do
    if tonumber(day) <= today - 31 then
      redis.call('HDEL', KEYS[1], day)
    end
  end
end
redis.call('EXPIRE', KEYS[1], 31 * 86400)
return used
