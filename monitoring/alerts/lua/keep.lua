-- Keep a state, if its engine still leads: its fence is the lease's.
-- KEYS[1]: lease. ARGV: prefix, engine, fence, document, then the ids of the acts that are a part of it.
-- Reply: the new version, or "" if another engine has led since.
local held = redis.call('HMGET', KEYS[1], 'engine', 'fence')
if held[1] ~= ARGV[2] or held[2] ~= ARGV[3] then
  return ''
end
-- Of the fence too: a store that was emptied begins to count anew, and no version may come twice.
local count = redis.call('HINCRBY', ARGV[1] .. 'state', 'count', 1)
local version = ARGV[3] .. '.' .. count
redis.call('HSET', ARGV[1] .. 'state', 'document', ARGV[4], 'version', version)
for i = 5, #ARGV do
  redis.call('HDEL', ARGV[1] .. 'acts', ARGV[i])
end
return version
