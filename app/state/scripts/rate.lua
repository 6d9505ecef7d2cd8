-- Take from all of an owner's limits, or from none.
--
-- KEYS  the limits
-- ARGV  for each: interval in microseconds, burst, cost
-- Returns {'taken'} | {'limited', place of the limit, ms to wait}

local later, place, ms = looked(1, 1)
if not later then
  return {'limited', place, ms}
end
take(later)
return {'taken'}
