-- Ask a run to end. A running one is flagged: only its writer ends it. A queued one ends here.
--
-- ARGV  1 channel  2 run  3 `end` entry for a queued run
-- Returns {'stopping' | 'ended', at} | {'not_found'}

if (head('run')) == ARGV[2] then
  redis.call('HSET', HEAD, 'stop', 1)
  hint()
  return {'stopping', top()}
end
for _, waiting in ipairs(redis.call('LRANGE', QUEUE, 0, -1)) do
  if cmsgpack.unpack(waiting).run == ARGV[2] then
    redis.call('LREM', QUEUE, 1, waiting)
    redis.call('HSET', SAID, 'r:' .. ARGV[2], 'stopped')
    local _, at = add(ARGV[1], {ARGV[3]})
    return {'ended', at}
  end
end
if redis.call('HEXISTS', SAID, 'r:' .. ARGV[2]) == 1 then
  return {'ended', top()}
end
return {'not_found'}
