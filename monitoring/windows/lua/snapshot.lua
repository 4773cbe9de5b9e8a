-- One consistent view of all windows of a bundle.
-- KEYS[1]  the bundle's prediction counter
-- ARGV     prefix, sizes "10,100", bundle
-- Returns  {predictions, labelled, number of recent predictions whose times are kept, number of those
--           made since the oldest in the largest window (0: it is empty), lags,
--           {series, size, {cell, count, ...}}, ...}

local prefix, sizes, bundle = unpack(ARGV)

local largest = 0
local windows = {}
for size in string.gmatch(sizes, '%d+') do
  largest = math.max(largest, tonumber(size))
  for _, series in ipairs({ 'all', 'answered' }) do
    table.insert(windows, { series, size, redis.call('HGETALL', counts_key(prefix, bundle, series, size)) })
  end
end

local recent = prefix .. 'recent:' .. bundle
local oldest = redis.call('ZRANGE', window_key(prefix, bundle, 'all', largest), 0, 0, 'WITHSCORES')
return {
  tonumber(redis.call('GET', KEYS[1]) or 0),
  tonumber(redis.call('GET', prefix .. 'labelled:' .. bundle) or 0),
  redis.call('ZCARD', recent),
  oldest[2] and redis.call('ZCOUNT', recent, oldest[2], '+inf') or 0,
  redis.call('ZREVRANGE', prefix .. 'lags:' .. bundle, 0, -1),
  unpack(windows),
}
