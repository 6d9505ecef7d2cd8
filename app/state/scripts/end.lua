-- A run's writer ends it: its last text, its end, its turn in the history, the release of its lease and the start
-- of the next that waits are one step. Then the log is trimmed.
--
-- ARGV  1 channel  2 member  3 run  4 fence  5 incarnation  6 node's name  7 count  8 assistant's turn
--       9 lease ms  10 run ms  11 session ttl ms  12 max turns  13 max entries  14 window
--       15 prefix of a member  16 digest of an empty text
--       17 ms for which a title may take, or 0: this answer gives none  18… entries, the last of which is `end`
-- Returns {'ended' | 'already', at, given?, 1 if the session has no title of its own, and the caller is to make it}
--       | {'lost', count} | {'fenced'}
-- The member of a lease is '<session> <run>'; ARGV 15 is '<session> '.

local channel, run, fence, incarnation = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
local window = tonumber(ARGV[14])

local ended, ended_at, titled = head('ended', 'ended_at', 'titled')
if ended == run .. ' ' .. fence .. ' ' .. incarnation then
  return {'already', ended_at, given(incarnation, window) or false, string.match(titled, '^%d+ (.*)') == run and 1 or 0}
end
local mine, made = writes(run, fence, incarnation, 'count')
if not mine then
  return {'fenced'}
end
made = tonumber(made)
if made ~= tonumber(ARGV[7]) then
  return {'lost', made}
end

local entries, limit = {unpack(ARGV, 18)}, tonumber(ARGV[12])
local at = over(ARGV[2], entries, ARGV[8], limit)
local question = begin_next(channel, entries, ARGV[15], incarnation, ARGV[6], tonumber(ARGV[9]), tonumber(ARGV[10]),
  limit, ARGV[16])
if not question then
  add(channel, entries)
end
redis.call('HSET', HEAD, 'ended', run .. ' ' .. fence .. ' ' .. incarnation, 'ended_at', at)

local titles = ARGV[17] ~= '0' and titled ~= '-' and (tonumber(string.match(titled, '^%d+')) or 0) <= clock()
if titles then
  redis.call('HSET', HEAD, 'titled', string.format('%.0f ', clock() + ARGV[17]) .. run)
end

trim(tonumber(ARGV[13]))
touch(tonumber(ARGV[11]))
return {'ended', at, question and given(incarnation, window) or false, titles and 1 or 0}
