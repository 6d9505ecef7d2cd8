-- Shared by the scripts that limit; put in front of each when it is loaded.
--
-- The generic cell rate algorithm (ITU-T I.371), on Redis's own clock: a limit is one time, at which all that was
-- taken will have been given back. It lies at most `burst` units ahead of now, a unit being worth `interval`
-- microseconds. A cost of more than the burst counts as the burst: else it could never be taken.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Look at limits: KEYS[first…], and for each interval, burst and cost in ARGV[from…].
-- Returns what each would be set to, or nil, the place of the first that is exceeded, and the ms until it would not be.
local function looked(first, from)
  local later = {}
  for i = first, #KEYS do
    local at = from + (i - first) * 3
    local interval, burst, cost = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    -- More than all of it cannot be taken: a clock was set back, or the limit was lowered.
    local before = math.min(tonumber(redis.call('GET', KEYS[i])) or 0, now + burst * interval)
    local taken = math.max(before, now) + math.min(cost, burst) * interval
    local over = taken - burst * interval - now
    if over > 0 then
      return nil, i - first + 1, math.ceil(over / 1000)
    end
    later[i] = taken
  end
  return later
end

local function take(later)
  for i, taken in pairs(later) do
    if taken > now then
      redis.call('SET', KEYS[i], string.format('%.0f', taken), 'PX', math.ceil((taken - now) / 1000))
    end
  end
end
