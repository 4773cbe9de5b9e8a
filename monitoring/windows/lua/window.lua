-- Shared by predict.lua and label.lua, which are loaded with this text in front of them.
--
-- A window is a sorted set of labelled predictions, "predicted:label:id" scored by the time at which the
-- prediction was made, with a hash of counts beside it, "predicted:label" -> count.
-- It keeps the `size` latest *predictions*: an old prediction whose label is late enters at its place in
-- that order and, in a full window, leaves again at once. Since the order is that of the predictions and
-- not that of the arrivals, events that arrive late or in another order give the same window.

local function window_key(prefix, bundle, series, size)
  return prefix .. 'window:' .. bundle .. ':' .. series .. ':' .. size
end

local function counts_key(prefix, bundle, series, size)
  return prefix .. 'counts:' .. bundle .. ':' .. series .. ':' .. size
end

local function enter(prefix, bundle, series, size, made, cell, id)
  local window = window_key(prefix, bundle, series, size)
  local counts = counts_key(prefix, bundle, series, size)
  -- ZADD returns 0 for a member that is there already: a repeated delivery, after the hash had expired.
  redis.call('HINCRBY', counts, cell, redis.call('ZADD', window, made, cell .. ':' .. id))
  while redis.call('ZCARD', window) > tonumber(size) do
    local oldest = redis.call('ZPOPMIN', window)
    redis.call('HINCRBY', counts, string.match(oldest[1], '^%d+:%d+'), -1)
  end
end

local function exchange(prefix, bundle, series, size, made, before, after, id)
  local window = window_key(prefix, bundle, series, size)
  local counts = counts_key(prefix, bundle, series, size)
  -- A prediction that has left the window stays outside.
  if redis.call('ZREM', window, before .. ':' .. id) == 1 then
    redis.call('HINCRBY', counts, before, -1)
    redis.call('HINCRBY', counts, after, redis.call('ZADD', window, made, after .. ':' .. id))
  end
end

-- Calls act(series, size, guess) for every window that holds this prediction: it is always in the
-- series 'all' with its forced label, and in 'answered' with its answer if it was answered.
local function each_window(sizes, predicted, answer, act)
  for size in string.gmatch(sizes, '%d+') do
    act('all', size, predicted)
    if answer ~= '' then
      act('answered', size, answer)
    end
  end
end

-- Adds a member to a sorted set that keeps its `most` highest scores.
local function add_bounded(key, score, member, most)
  redis.call('ZADD', key, score, member)
  if redis.call('ZCARD', key) > tonumber(most) then
    redis.call('ZPOPMIN', key)
  end
end

-- The first label of a prediction. `made` and `at` are Unix times in seconds.
local function label_first(prefix, key, id, sizes, lags, bundle, predicted, answer, made, label, at)
  redis.call('HSET', key, 'label', label, 'label_at', at)
  each_window(sizes, predicted, answer, function(series, size, guess)
    enter(prefix, bundle, series, size, made, guess .. ':' .. label, id)
  end)
  redis.call('INCR', prefix .. 'labelled:' .. bundle)
  local lag = math.max(0, tonumber(at) - tonumber(made))
  add_bounded(prefix .. 'lags:' .. bundle, at, string.format('%.6f:%s', lag, id), lags)
end
