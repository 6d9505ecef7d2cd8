-- The log after a cursor: whole entries up to a count and a size, at least one if there is one.
--
-- ARGV  1 cursor  2 max entries  3 max bytes
-- Returns {'read', head, entries as XRANGE gives them} | {'reset', 'expired' | 'trimmed' | 'lost'}
-- A cursor is valid if it is the head, the trim boundary, or in the log; nothing else is guessed at.

local cursor, bytes = ARGV[1], tonumber(ARGV[3])
local now = top()
if cursor == now then
  return {'read', now, {}}
end

local trim, born = head('trim', 'born')
if trim == '' then
  return {'reset', 'expired'}
end
if cursor ~= trim and #redis.call('XRANGE', LOG, cursor, cursor) == 0 then
  local ms, seq = string.match(cursor, '(%d+)-(%d+)')
  local trim_ms, trim_seq = string.match(trim, '(%d+)-(%d+)')
  if cursor ~= '0-0' and tonumber(ms) < tonumber(born) then
    return {'reset', 'expired'}
  end
  if tonumber(ms) <= tonumber(trim_ms) and tonumber(seq) <= tonumber(trim_seq) then
    return {'reset', 'trimmed'}
  end
  return {'reset', 'lost'}
end

local out, from, left = {}, '(' .. cursor, tonumber(ARGV[2])
while left > 0 and bytes > 0 do
  local some = redis.call('XRANGE', LOG, from, '+', 'COUNT', math.min(16, left))
  for _, entry in ipairs(some) do
    bytes = bytes - #entry[2][2]
    if bytes < 0 and #out > 0 then
      break
    end
    out[#out + 1] = entry
    from = '(' .. entry[1]
  end
  left = left - #some
  if #some < 16 then
    break
  end
end
return {'read', now, out}
