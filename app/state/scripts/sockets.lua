-- A node says how many sockets of a user it has; one more than may be, over all nodes, is refused.
--
-- KEYS  1 the user's sockets, by node
-- ARGV  1 incarnation  2 how many it has now  3 max  (0: as many as they like, also where there are fewer than before)
-- Returns {'held'} | {'full', incarnations that hold some}

local have, most = tonumber(ARGV[2]), tonumber(ARGV[3])
if most > 0 then
  local total, holders = have, {}
  local held = redis.call('HGETALL', KEYS[1])
  for i = 1, #held, 2 do
    if held[i] ~= ARGV[1] then
      total = total + tonumber(held[i + 1])
      holders[#holders + 1] = held[i]
    end
  end
  if total > most then
    return {'full', holders}
  end
end
if have > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], have)
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('EXPIRE', KEYS[1], 7 * 86400)
return {'held'}
