-- A run's writer gives it up on purpose: its lease is over, and whoever claims it counts no attempt.
--
-- ARGV  1 member  2 run  3 fence  4 incarnation  5 the bell's channel
-- Returns {'released'} | {'fenced'}

if not writes(ARGV[2], ARGV[3], ARGV[4]) then
  return {'fenced'}
end
offer(ARGV[1], ARGV[5])
return {'released'}
