-- A run's writer ends it: its last text, its end, its turn in the history, the release of its lease and the start
-- of the next queued turn are one step. Then the log is trimmed.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 node's name  7 count  8 assistant's turn
--       9 lease ms  10 run ms  11 session ttl ms  12 max turns  13 max entries  14 window
--       15 prefix of a member  16… entries, the last of which is `end`
-- Returns {'ended', at, given?} | {'already', at, given?} | {'lost', count} | {'fenced'}
-- The member of a lease is '<session> <run>'; ARGV 15 is '<session> '.

local channel, run, fence, incarnation = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
local window = tonumber(ARGV[14])

local ended, ended_at = head('ended', 'ended_at')
if ended == run .. ' ' .. fence .. ' ' .. incarnation then
  return {'already', ended_at, given(incarnation, window) or false}
end
local mine, made = writes(run, fence, incarnation, 'count')
if not mine then
  return {'fenced'}
end
made = tonumber(made)
if made ~= tonumber(ARGV[7]) then
  return {'lost', made}
end

redis.call('ZREM', LEASES, ARGV[2])
redis.call('DEL', RUN)
redis.call('HSET', HEAD, 'run', '', 'incarnation', '', 'state', 'idle')
redis.call('HDEL', HEAD, 'stop', 'after', 'at')

local entries = {}
for i = 16, #ARGV do
  entries[i - 15] = ARGV[i]
end
local last = #entries

local waiting = redis.call('LPOP', QUEUE)
local next_id, next_run, next_model, next_record, next_request, next_at
if waiting then
  next_id, next_run, next_model, next_record, next_request, next_at = unpack(cmsgpack.unpack(waiting))
  entries[last + 1] = run_entry(next_run, next_id, 1, 'new', ARGV[6], next_model)
end

local _, at, ids = add(channel, entries)
remember(ids[last], run, ARGV[8], tonumber(ARGV[12]))
if waiting then
  begin(ARGV[15] .. next_run, next_run, next_model, next_request, incarnation, tonumber(ARGV[9]), tonumber(ARGV[10]))
  redis.call('HSET', RUN, 'began', at)
  remember(next_at, next_id, next_record, tonumber(ARGV[12]))
end
redis.call('HSET', HEAD, 'ended', run .. ' ' .. fence .. ' ' .. incarnation, 'ended_at', ids[last])

trim(tonumber(ARGV[13]))
touch(tonumber(ARGV[11]))
return {'ended', ids[last], waiting and given(incarnation, window) or false}
