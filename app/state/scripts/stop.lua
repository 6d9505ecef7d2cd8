-- Ask a run to end. A running one is flagged: only its writer ends it. A queued one, and one that is held, ends here.
--
-- ARGV  1 channel  2 run  3 `end` entry for a queued run  4 prefix of a member  5 run ms  6 session ttl ms  7 max turns
--       8 max entries  9 digest of an empty text  10 the bell's channel
-- Returns {'stopping' | 'ended', at} | {'not_found'}

local channel, run, prefix, limit = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[7])
local current, state = head('run', 'state')
if current == run and state == 'held' then
  local entries = close_held(prefix, 'stop', limit)
  local question = begin_next(channel, entries, prefix, '', '', 0, tonumber(ARGV[5]), limit, ARGV[9])
  if question then
    offer(prefix .. question.run, ARGV[10])
  else
    add(channel, entries)
  end
  trim(tonumber(ARGV[8]))
  touch(tonumber(ARGV[6]))
  return {'ended', top()}
end
if current == run then
  redis.call('HSET', HEAD, 'stop', 1)
  hint()
  return {'stopping', top()}
end
for _, waiting in ipairs(redis.call('LRANGE', QUEUE, 0, -1)) do
  if cmsgpack.unpack(waiting).run == run then
    redis.call('LREM', QUEUE, 1, waiting)
    redis.call('HSET', SAID, 'r:' .. run, 'stopped')
    local _, at = add(channel, {ARGV[3]})
    return {'ended', at}
  end
end
if redis.call('HEXISTS', SAID, 'r:' .. run) == 1 then
  return {'ended', top()}
end
return {'not_found'}
