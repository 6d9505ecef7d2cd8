-- A person speaks, or wants a turn answered again or said otherwise: begin a run, queue it, or find that this message
-- id was used before. What was said in a session that was deleted since, and is only said again, does not bring it back.
-- A run that is held ends with this.
--
-- ARGV  1 channel  2 member of the leases  3 message id  4 fingerprint  5 run  6 `turn` entry  7 the same, queued
--       8 turn for the history  9 request  10 model  11 queue|interrupt|reject  12 incarnation  13 node's name
--       14 lease ms  15 run ms  16 session ttl ms  17 max queued  18 max turns  19 max ids  20 title  21 window
--       22 max bytes queued  23 bytes of this text, as JSON  24 '' if the model was named, else which there are, for the
--       session's own counts: a line each  25 say | again | edit  26 the turn that again and edit are about
--       27 max entries  28 digest of an empty text
-- Returns {'said', run, at, before, duplicate, given?}
--       | {'id_reused'} | {'gone'} | {'not_found'} | {'busy'} | {'queue_full'}

local channel, member, id, print, run = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local when_busy, incarnation, window = ARGV[11], ARGV[12], tonumber(ARGV[21])

local said = redis.call('HGET', SAID, id)
if said then
  local was_print, was_run, before, at = string.match(said, '^(%S+) (%S+) (%S+) (%S+)$')
  if was_print ~= print then
    return {'id_reused'}
  end
  local mine = given(incarnation, window)
  return {'said', was_run, at, before, 1, mine and mine[1] == was_run and mine or false}
end
if (tonumber(redis.call('ZSCORE', GONE, trace(id, print))) or 0) > clock() then
  return {'gone'}
end

local question = {id = id, run = run, record = ARGV[8], request = ARGV[9], entry = ARGV[6], size = tonumber(ARGV[23]),
  kind = ARGV[25], turn = ARGV[26]}
if question.kind ~= 'say' and not stands(question) then
  return {'not_found'}
end
local current, own, state = head('run', 's:model', 'state')
local model = ARGV[10]
if own ~= '' and ARGV[24] ~= '' then
  own = cjson.decode('[' .. own .. ']')[1]
  if string.find(ARGV[24], '\n' .. own .. '\n', 1, true) then
    model = own
  end
end
question.model = model
if current ~= '' and when_busy == 'reject' then
  return {'busy'}
end
if current ~= '' then
  local queue, bytes = redis.call('LRANGE', QUEUE, 0, -1), question.size
  for _, waiting in ipairs(queue) do
    bytes = bytes + cmsgpack.unpack(waiting).size
  end
  if #queue >= tonumber(ARGV[17]) or bytes > tonumber(ARGV[22]) then
    return {'queue_full'}
  end
end

local prefix, limit, held = string.sub(member, 1, #member - #run), tonumber(ARGV[18]), state == 'held'
local lease_ms, run_ms = tonumber(ARGV[14]), tonumber(ARGV[15])
local begins = current == '' or held and (when_busy == 'interrupt' or redis.call('LLEN', QUEUE) == 0)
if held and begins and question.kind ~= 'say' and turn_of(question.turn) == 0
    and redis.call('LLEN', TURNS) >= limit then
  return {'not_found'}  -- it leaves the history with the end of what is held
end
local entries = held and close_held(prefix, 'say', limit) or {}
local before, at
if begins then
  found(ARGV[20])
  before, at = start(channel, entries, question, member, incarnation, ARGV[13], lease_ms, run_ms, limit)
else
  if question.kind == 'say' then
    entries[#entries + 1] = ARGV[7]
  end
  before, at = top(), top()
  if #entries > 0 then
    before, at = add(channel, entries)
  end
  if question.kind == 'say' then
    question.at, question.entry = at, nil
  end
  local waiting = cmsgpack.pack(question)
  if held then
    redis.call('RPUSH', QUEUE, waiting)
    local last = {}
    begins = begin_next(channel, last, prefix, incarnation, ARGV[13], lease_ms, run_ms, limit, ARGV[28])
    if #last > 0 and not begins then
      add(channel, last)
    end
  elseif when_busy == 'interrupt' then
    redis.call('LPUSH', QUEUE, waiting)
    redis.call('HSET', HEAD, 'stop', 1)
    hint()
  else
    redis.call('RPUSH', QUEUE, waiting)
  end
end

if question.kind ~= 'again' then
  redis.call('HINCRBY', HEAD, 'spoken', 1)
end
redis.call('HSET', HEAD, 'spoke_at', string.format('%.0f', clock()))
redis.call('HSET', SAID, id, print .. ' ' .. run .. ' ' .. before .. ' ' .. at, 'r:' .. run, id)
know(id, tonumber(ARGV[19]))
if held then
  trim(tonumber(ARGV[27]))
end
touch(tonumber(ARGV[16]))
return {'said', run, at, before, 0, begins and given(incarnation, window) or false}
