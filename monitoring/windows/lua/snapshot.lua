-- One consistent view of all windows of some scopes.
-- KEYS[1]  the hash of all logs' positions
-- ARGV     prefix, size of the window over which the share labelled is taken, scope, scope, ...
-- Returns  for each scope {predictions, labelled, number of latest predictions that are kept, number of
--          those made since the oldest in the window of that size (0: it is empty), lags (one
--          text is read faster than many), counts of 'all',
--          of 'answered' and of 'decided', each {"N first:second", count, ...}}

local prefix, size = ARGV[1], tonumber(ARGV[2])

local function scope_of(scope)
  local labelled = window_key(prefix, scope, 'all')
  local decided = window_key(prefix, scope, 'decided')
  local last = math.min(size, redis.call('ZCARD', labelled)) - 1
  local oldest = last < 0 and {} or redis.call('ZREVRANGE', labelled, last, last, 'WITHSCORES')
  return {
    tonumber(redis.call('GET', prefix .. 'predictions:' .. scope) or 0),
    tonumber(redis.call('GET', prefix .. 'labelled:' .. scope) or 0),
    redis.call('ZCARD', decided),
    oldest[2] and redis.call('ZCOUNT', decided, oldest[2], '+inf') or 0,
    table.concat(redis.call('ZREVRANGE', prefix .. 'lags:' .. scope, 0, -1), ' '),
    redis.call('HGETALL', counts_key(prefix, scope, 'all')),
    redis.call('HGETALL', counts_key(prefix, scope, 'answered')),
    redis.call('HGETALL', counts_key(prefix, scope, 'decided')),
  }
end

local scopes = {}
for index = 3, #ARGV do
  table.insert(scopes, scope_of(ARGV[index]))
end
return scopes
