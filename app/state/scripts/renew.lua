-- A run's writer says that it lives.
--
-- ARGV  1 member  2 run  3 fence  4 incarnation  5 lease ms  6 count  7 where its upstream can be
--       taken up again after that many appends, or ''
-- Returns {'renewed', stop, as `append` has it} | {'fenced'}

local mine, stop, made = writes(ARGV[2], ARGV[3], ARGV[4], 'stop', 'count')
if not mine then
  return {'fenced'}
end
lease(ARGV[1], tonumber(ARGV[5]))
if ARGV[7] ~= '' and made == ARGV[6] then
  redis.call('HSET', HEAD, 'place', ARGV[7])
end
return {'renewed', stop}
