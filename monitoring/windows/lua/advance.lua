-- Notes how far a log has been delivered, if that is still where it was: a store that has lost its
-- memory, or part of it, does not say what was expected. Said again, because the answer did not arrive,
-- it is noted already.
-- KEYS[1]  the hash of all logs' positions
-- ARGV     log, position before ('' none), position after
-- Returns  1 noted, 0 not noted

local log, before, after = unpack(ARGV)

local held = redis.call('HGET', KEYS[1], log) or ''
if held == after then
  return 1
end
if held ~= before then
  return 0
end
redis.call('HSET', KEYS[1], log, after)
return 1
