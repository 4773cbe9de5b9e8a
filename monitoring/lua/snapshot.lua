-- One consistent view of all windows of a bundle.
-- KEYS[1]  the bundle's prediction counter
-- ARGV     prefix, sizes "10,100", bundle
-- Returns  {predictions, labelled, order of the oldest prediction in the largest window or 0, lags,
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

local oldest = redis.call('ZRANGE', window_key(prefix, bundle, 'all', largest), 0, 0, 'WITHSCORES')
return {
  tonumber(redis.call('GET', KEYS[1]) or 0),
  tonumber(redis.call('GET', prefix .. 'labelled:' .. bundle) or 0),
  tonumber(oldest[2] or 0),
  redis.call('LRANGE', prefix .. 'lag:' .. bundle, 0, -1),
  unpack(windows),
}
