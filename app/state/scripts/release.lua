-- A run's writer gives it up on purpose: its lease is over, and whoever claims it counts no attempt.
--
-- ARGV  1 member  2 run  3 fence  4 incarnation  5 the bell's channel
-- Returns {'released'} | {'fenced'}

if not writes(ARGV[2], ARGV[3], ARGV[4]) then
  return {'fenced'}
end
redis.call('HSET', RUN, 'released', 1)
redis.call('HSET', HEAD, 'incarnation', '')
redis.call('ZADD', LEASES, 0, ARGV[1])
redis.call('PUBLISH', ARGV[5], ARGV[1])
return {'released'}
