-- A run's writer appends what it does besides writing: calls that begin, calls that have settled, people who are asked.
-- Its record knows what another node must not do again.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 count  7 lease ms
--       8 what is under way after this: '' | idempotent | once (a call that nobody may make again)
--       9 '1' if a call has settled in this run, so far  10 the calls about which people are asked after this: an array,
--       packed  11 what the run has used so far, packed, or ''  12… entries
-- Returns as `append` does

local channel, member, count = ARGV[1], ARGV[2], tonumber(ARGV[6])
local mine, made, after, at, stop = writes(ARGV[3], ARGV[4], ARGV[5], 'count', 'after', 'at', 'stop')
if not mine then
  return {'fenced'}
end
made = tonumber(made)
if made == count + 1 then
  lease(member, tonumber(ARGV[7]))
  return {'already', after, at, stop}
end
if made ~= count then
  return {'lost', made}
end

local answers, asks = {}, {}
for _, ask in ipairs(asked()) do
  answers[ask[1]] = ask[2]
  if ask[2] ~= '' then
    redis.call('HSET', RUN, 'answer ' .. ask[1], ask[2])  -- it stands also when its call has begun
  end
end
for i, call in ipairs(cmsgpack.unpack(ARGV[10])) do
  asks[i] = {call, answers[call] or ''}
end
after, at = add(channel, {unpack(ARGV, 12)})
redis.call('HSET', HEAD, 'count', count + 1, 'after', after, 'at', at)
redis.call('HDEL', HEAD, 'place')
redis.call('HSET', RUN, 'open', ARGV[8], 'asks', cmsgpack.pack(asks), 'usage', ARGV[11])
if ARGV[9] == '1' then
  redis.call('HSET', RUN, 'settled', 1)
end
lease(member, tonumber(ARGV[7]))
return {'appended', after, at, stop}
