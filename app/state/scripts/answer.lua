-- A person decides on a call; the first decision stands. When none is open any more, a run that waits for them goes on.
--
-- ARGV  1 channel  2 member  3 run  4 call  5 `answer` entry  6 session ttl ms  7 the bell's channel
-- Returns {'answered', the entry that stands} | {'over'}: the run has ended | {'not_found'}

local run, call = ARGV[3], ARGV[4]
local current, state = head('run', 'state')
if current ~= run then
  return {elsewhere(run) == 'over' and 'over' or 'not_found'}
end
local asks, mine, waits = asked(), nil, false
for _, ask in ipairs(asks) do
  if ask[1] == call then
    mine = ask
  elseif ask[2] == '' then
    waits = true
  end
end
if not mine then
  local stands = redis.call('HGET', RUN, 'answer ' .. call)
  return stands and {'answered', stands} or {'not_found'}
end
if mine[2] ~= '' then
  return {'answered', mine[2]}
end
mine[2] = ARGV[5]
redis.call('HSET', RUN, 'asks', cmsgpack.pack(asks))
add(ARGV[1], {ARGV[5]})
if state == 'held' and not waits and redis.call('HGET', RUN, 'held') == 'approval' then
  offer(ARGV[2], ARGV[7])
end
touch(tonumber(ARGV[6]))
return {'answered', ARGV[5]}
