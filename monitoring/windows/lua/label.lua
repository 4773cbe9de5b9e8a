-- KEYS[1]  the prediction's hash
-- ARGV     prefix, id, sizes "10,100", lags kept, label, time of the label, time to live of a parked
--          label in seconds
-- Returns  {ok | duplicate | corrected | stale | unknown}

local prefix, id, sizes, lags, label, at, parked_ttl = unpack(ARGV)

local found = redis.call(
  'HMGET', KEYS[1], 'bundle', 'predicted', 'answer', 'made', 'label', 'label_at', 'wait')
local bundle, predicted, answer, made, held, held_at, wait = unpack(found, 1, 7)

if not bundle then
  local parked = prefix .. 'parked:' .. id
  local waiting = redis.call('HMGET', parked, 'label', 'label_at')
  park_label(parked, label, at)
  local same = waiting[1] == label
  if waiting[1] and tonumber(at) < tonumber(waiting[2]) then
    return { same and 'duplicate' or 'stale' }
  end
  redis.call('HSET', parked, 'label', label, 'label_at', at)
  redis.call('EXPIRE', parked, parked_ttl)
  if same then
    return { 'duplicate' }
  end
  return { waiting[1] and 'corrected' or 'unknown' }
end

if wait then
  label_item(prefix, bundle, id, tonumber(made), tonumber(wait), tonumber(label), tonumber(at))
end

if not held then
  label_first(prefix, KEYS[1], id, sizes, lags, bundle, predicted, answer, made, label, at)
  return { 'ok' }
end

if tonumber(at) < tonumber(held_at) then
  return { held == label and 'duplicate' or 'stale' }
end
redis.call('HSET', KEYS[1], 'label', label, 'label_at', at)
if held == label then
  return { 'duplicate' }
end
each_window(sizes, predicted, answer, function(series, size, guess)
  exchange(prefix, bundle, series, size, made, guess .. ':' .. held, guess .. ':' .. label, id)
end)
return { 'corrected' }
