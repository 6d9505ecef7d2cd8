-- Remove a session with its run and its queue, without an `end`. A later `say` begins a new one.
--
-- ARGV  1 channel  2 member prefix '<session> '  3 `gone` entry
-- Returns {'gone', 1 if there was one}

local exists = redis.call('EXISTS', HEAD)
if exists == 1 then
  local run, node = head('run', 'node')
  if run ~= '' then
    redis.call('ZREM', LEASES, ARGV[2] .. run)
    redis.call('PUBLISH', 'node:' .. node, 'stop ' .. run)
  end
  add(ARGV[1], {ARGV[3]})
end
redis.call('DEL', HEAD, LOG, RUN, TURNS, SAID, IDS, QUEUE)
return {'gone', exists}
