-- Shared by every script on a session; put in front of each when it is loaded.
--
-- KEYS of a session script are these ten, or the first three, if it touches no other:
--   1 head  2 log  3 leases  4 run  5 turns  6 said  7 ids  8 queue  9 gone  10 replaced
-- Times are ms of Redis's own clock. A script validates first and writes last.

local HEAD, LOG, LEASES, RUN, TURNS, SAID, IDS, QUEUE, GONE, REPLACED = unpack(KEYS)

local time
local function clock()
  time = time or redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function id_of(ms, seq)
  return string.format('%.0f-%.0f', ms, seq)
end

-- Some of the head's fields, '' where one is absent.
local function head(...)
  local values = redis.call('HMGET', HEAD, ...)
  for i = 1, select('#', ...) do
    values[i] = values[i] or ''
  end
  return unpack(values)
end

-- The id of the log's last entry; '0-0' for a session that is not there.
local function top()
  local ms, seq = head('ms', 'seq')
  if seq == '' then
    return '0-0'
  end
  return ms .. '-' .. seq
end

-- What entries are counted from that come after `ms-seq`: their ms, and the number before the first.
local function following(ms, seq)
  local now = clock()
  if ms ~= '' and tonumber(ms) > now then
    now = tonumber(ms)
  end
  return now, tonumber(seq) or 0
end

-- Put encoded entries into the log after `ms-seq`, under dense ids, and publish them as one message:
-- `<after> <at> <entries>`. Returns after, at, ms and seq for the head, and the ids.
local function put(channel, entries, ms, seq)
  local after = seq == '' and '0-0' or ms .. '-' .. seq
  local now, ids = nil, {}
  now, seq = following(ms, seq)
  for i = 1, #entries do
    seq = seq + 1
    ids[i] = id_of(now, seq)
    redis.call('XADD', LOG, ids[i], 'e', entries[i])
  end
  local at = ids[#ids]
  redis.call('PUBLISH', channel, after .. ' ' .. at .. ' ' .. table.concat(entries))
  return after, at, string.format('%.0f', now), string.format('%.0f', seq), ids
end

-- Append encoded entries. Returns after, at, and the ids.
local function add(channel, entries)
  local after, at, ms, seq, ids = put(channel, entries, head('ms', 'seq'))
  redis.call('HSET', HEAD, 'ms', ms, 'seq', seq)
  return after, at, ids
end

-- Whether a run is written by this very producer: all three must match. Then some more of the head's fields.
local function writes(run, fence, incarnation, ...)
  local now = {head('run', 'fence', 'incarnation', ...)}
  return run ~= '' and now[1] == run and now[2] == fence and now[3] == incarnation, unpack(now, 4)
end

local function lease(member, ms)
  redis.call('ZADD', LEASES, string.format('%.0f', clock() + ms), member)
end

-- A turn enters the history: '<at> <id> <encoded map>', so that a script can find one by its id. What is found out
-- later is laid over that, as another map after it. `replaced`: ids of the turns whose place it takes, if it does.
local function remember(at, id, record, limit, replaced)
  local over = replaced and #replaced > 0 and cmsgpack.pack({replaced = replaced}) or ''
  redis.call('RPUSH', TURNS, at .. ' ' .. id .. ' ' .. record .. over)
  redis.call('LTRIM', TURNS, -limit, -1)
end

-- Find a turn in the history. Returns its index, its line and what it is as a map; or nil.
local function turn_of(id)
  for index = redis.call('LLEN', TURNS) - 1, 0, -1 do
    local line = redis.call('LINDEX', TURNS, index)
    local _, last, is = string.find(line, '^%S+ (%S+) ')
    if is == id then
      local _, turn = cmsgpack.unpack_one(string.sub(line, last + 1))
      return index, line, turn
    end
  end
end

-- All keys of a session live and expire together, and never before a run that is held.
local function touch(ttl_ms)
  ttl_ms = math.max(ttl_ms, (tonumber((head('until'))) or 0) - clock() + ttl_ms)
  for _, key in ipairs({HEAD, LOG, RUN, TURNS, SAID, IDS, QUEUE, REPLACED}) do
    redis.call('PEXPIRE', key, ttl_ms)
  end
end

-- Make a session, if it is not there; give it a title, if it has none.
local function found(title)
  if redis.call('EXISTS', HEAD) == 0 then
    redis.call('HSET', HEAD, 'born', string.format('%.0f', clock()), 'title', title, 'trim', '0-0',
      'fence', 0, 'run', '', 'incarnation', '', 'state', 'idle')
  elseif title ~= '' and (head('title')) == '' then
    redis.call('HSET', HEAD, 'title', title)
  end
end

-- Know one more of the ids under which something was said; past `limit`, forget the oldest.
local function know(id, limit)
  redis.call('RPUSH', IDS, id)
  if redis.call('LLEN', IDS) > limit then
    local old = redis.call('LPOP', IDS)
    local old_run = string.match(redis.call('HGET', SAID, old) or '', '^%S+ (%S+)')
    redis.call('HDEL', SAID, old, 'r:' .. (old_run or ''))
  end
end

-- Keep the newest entries of the log, and where it begins.
local function trim(limit)
  local surplus = redis.call('XLEN', LOG) - limit
  if surplus > 0 then
    local dropped = redis.call('XRANGE', LOG, '-', '+', 'COUNT', surplus)
    redis.call('HSET', HEAD, 'trim', dropped[#dropped][1])
    redis.call('XTRIM', LOG, 'MAXLEN', '=', limit)
  end
end

-- Make `incarnation` the writer of a run that begins now. The fence only grows, for the life of the session.
local function begin(member, run, model, request, incarnation, lease_ms, run_ms)
  local fence = (tonumber((head('fence'))) or 0) + 1
  redis.call('HSET', HEAD, 'run', run, 'fence', fence, 'incarnation', incarnation, 'state', 'running', 'count', 0)
  redis.call('HDEL', HEAD, 'stop', 'place')
  redis.call('DEL', RUN)
  redis.call('HSET', RUN, 'request', request, 'model', model, 'attempt', 1,
    'deadline', string.format('%.0f', clock() + run_ms))
  lease(member, lease_ms)
end

local function run_entry(run, turn, attempt, how, name, model)
  return cmsgpack.pack({kind = 'run', run = run, turn = turn, attempt = attempt, how = how, node = name, model = model})
end

-- A person's turn that a question is about is in the history.
local function stands(question)
  local index, _, turn = turn_of(question.turn)
  return index and turn.role == 'user'
end

-- Cut the history at an index. What leaves it stays readable for a while, as what `by` has replaced. Returns its ids.
local function cut(index, by, limit)
  local ids = {}
  for i, line in ipairs(redis.call('LRANGE', TURNS, index, -1)) do
    ids[i] = string.match(line, '^%S+ (%S+)')
    redis.call('RPUSH', REPLACED, by .. ' ' .. line)
  end
  redis.call('LTRIM', REPLACED, -limit, -1)
  for _ = 1, #ids do
    redis.call('RPOP', TURNS)
  end
  return ids
end

-- Begin the run of a question, after entries that come before it. A question is a map: id, run, model, request, kind;
-- `say` and `edit` have an entry `turn` and a record for the history, `again` and `edit` the turn that they are about.
-- What waits in the log already has its entry's id as `at`, and no entry. Returns as `add` does.
local function start(channel, entries, question, member, incarnation, name, lease_ms, run_ms, limit)
  local again, ids = question.kind == 'again', nil
  if question.kind ~= 'say' then
    ids = cut(turn_of(question.turn) + (again and 1 or 0), again and question.run or question.id, limit)
    entries[#entries + 1] = cmsgpack.pack({kind = 'cut', turn = question.turn, keep = again, replaced = ids})
  end
  if not again then
    entries[#entries + 1] = question.entry
  end
  entries[#entries + 1] = run_entry(question.run, again and question.turn or question.id, 1, 'new', name, question.model)
  begin(member, question.run, question.model, question.request, incarnation, lease_ms, run_ms)
  local before, at, added = add(channel, entries)
  redis.call('HSET', RUN, 'began', at)
  if not again then
    remember(question.at or added[#added - 1], question.id, question.record, limit, ids)
  elseif #ids > 0 then
    redis.call('HSET', RUN, 'replaced', cmsgpack.pack(ids))
  end
  return before, at, added
end

-- Begin the first question that waits, after entries that come before it. What waits to answer a turn that is there no
-- more has failed with that. Returns the question; or nil, and `entries` are yet to be added.
local function begin_next(channel, entries, prefix, incarnation, name, lease_ms, run_ms, limit, empty_sha)
  while true do
    local waiting = redis.call('LPOP', QUEUE)
    local question = waiting and cmsgpack.unpack(waiting)
    if not question then
      return nil
    end
    if question.kind == 'say' or stands(question) then
      start(channel, entries, question, prefix .. question.run, incarnation, name, lease_ms, run_ms, limit)
      return question
    end
    entries[#entries + 1] = cmsgpack.pack({kind = 'end', run = question.run, state = 'failed', code = 'not_found',
      length = 0, sha256 = empty_sha})
  end
end

-- The current run is over: its turn enters the history with the last of `entries`, which are yet to be added.
local function over(member, entries, record, limit)
  local run, replaced = (head('run')), redis.call('HGET', RUN, 'replaced')
  redis.call('ZREM', LEASES, member)
  redis.call('DEL', RUN)
  redis.call('HSET', HEAD, 'run', '', 'incarnation', '', 'state', 'idle')
  redis.call('HDEL', HEAD, 'stop', 'after', 'at', 'place', 'until')
  local now, seq = following(head('ms', 'seq'))
  local at = id_of(now, seq + #entries)
  remember(at, run, record, limit, replaced and cmsgpack.unpack(replaced))
  return at
end

-- What a run is that is not under way: 'waits' (in the queue), 'over', or 'not_found'.
local function elsewhere(run)
  for _, waiting in ipairs(redis.call('LRANGE', QUEUE, 0, -1)) do
    if cmsgpack.unpack(waiting).run == run then
      return 'waits'
    end
  end
  return redis.call('HEXISTS', SAID, 'r:' .. run) == 1 and 'over' or 'not_found'
end

-- The calls about which a person is asked: an array of {call, '' or the encoded answer}, oldest first.
local function asked()
  local asks = redis.call('HGET', RUN, 'asks')
  return asks and cmsgpack.unpack(asks) or {}
end

-- Deny what nobody has answered. Returns the entries of that.
local function deny(run, asks, by)
  local entries = {}
  for _, ask in ipairs(asks) do
    if ask[2] == '' then
      ask[2] = cmsgpack.pack({kind = 'answer', run = run, call = ask[1], decision = 'deny', by = by})
      entries[#entries + 1] = ask[2]
    end
  end
  return entries
end

-- End a run that is held with the text that stands. Returns the entries of that, which are yet to be added.
local function close_held(prefix, by, limit)
  local run = (head('run'))
  local ended, record = unpack(redis.call('HMGET', RUN, 'end', 'turn'))
  local entries = deny(run, asked(), by)
  entries[#entries + 1] = ended
  over(prefix .. run, entries, record, limit)
  return entries
end

-- Let go of the current run, so that any node may claim it now, and tell all of them. Its time goes on, if it was held.
local function offer(member, bell)
  local left, released = unpack(redis.call('HMGET', RUN, 'left', 'released'))
  if left and not released then
    redis.call('HSET', RUN, 'deadline', string.format('%.0f', clock() + left))
  end
  redis.call('HSET', RUN, 'released', 1)
  redis.call('HSET', HEAD, 'incarnation', '')
  redis.call('ZADD', LEASES, 0, member)
  redis.call('PUBLISH', bell, member)
end

-- What a producer needs to carry the current run.
-- Returns run, fence, request, ms left, turns that end with the question, attempt, model.
local function hand(window)
  local run, fence = head('run', 'fence')
  local request, deadline, attempt, model = unpack(redis.call('HMGET', RUN, 'request', 'deadline', 'attempt', 'model'))
  local left = string.format('%.0f', tonumber(deadline) - clock())
  return {run, fence, request, left, redis.call('LRANGE', TURNS, -window, -1), attempt, model}
end

-- The same for a producer that has just been given the run, or was given it by a call whose answer it never saw:
-- nil unless `incarnation` is the writer and has appended nothing yet. A run that was claimed, with what stands of it, is
-- the claim's alone.
local function given(incarnation, window)
  local run, now_incarnation, count = head('run', 'incarnation', 'count')
  if run == '' or now_incarnation ~= incarnation or count ~= '0' then
    return nil
  end
  local how, settled = unpack(redis.call('HMGET', RUN, 'how', 'settled'))
  if how and (how ~= 'restart' or settled) then
    return nil
  end
  return hand(window)
end

-- What is left of a message once its session is deleted.
local function trace(id, print)
  return redis.sha1hex(HEAD .. ' ' .. id .. ' ' .. print)
end

-- Tell the node that writes the current run to look at its stop flag now. Channels are declared in `keys.py`.
local function hint()
  local run, incarnation = head('run', 'incarnation')
  if incarnation ~= '' then
    redis.call('PUBLISH', 'node:' .. incarnation, 'stop ' .. run)
  end
end

-- The newest lines that fit, oldest first, of those that `line` gives from an index down to 0. Returns lines, more.
local function newest(line, last, limit, bytes)
  local out, size, index = {}, 0, last
  while index >= 0 and #out < limit do
    local turn = line(index)
    size = size + #turn
    if size > bytes and #out > 0 then
      break
    end
    table.insert(out, 1, turn)
    index = index - 1
  end
  return out, index >= 0 and 1 or 0
end
