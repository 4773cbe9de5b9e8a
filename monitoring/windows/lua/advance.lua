-- Moves the position of a log forward, if it is still the expected one: a store that has lost its
-- memory, or part of it, holds another. A repeated call, made because the answer did not arrive, finds
-- the new position already there. Also notes that windows of these sizes are in use.
-- KEYS[1]  the hash of all logs' positions
-- ARGV     log, position before ('' none), position after, the hash of all sizes in use, these sizes
-- Returns  1 moved, 0 not moved

local log, before, after, in_use, sizes = unpack(ARGV)

redis.call('HSET', in_use, sizes, redis.call('TIME')[1])
local held = redis.call('HGET', KEYS[1], log) or ''
if held == after then
  return 1
end
if held ~= before then
  return 0
end
redis.call('HSET', KEYS[1], log, after)
return 1
