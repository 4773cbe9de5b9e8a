-- KEYS[1]  the prediction's hash
-- ARGV     prefix, id, sizes "10,100", lags kept, bundle, predicted, answer ('' abstained), time made,
--          time to live in seconds, number of the latest predictions whose times are kept
-- Returns  {recorded | joined | repeated}

local prefix, id, sizes, lags, bundle, predicted, answer, made, ttl, recent = unpack(ARGV)

if redis.call('HEXISTS', KEYS[1], 'made') == 1 then
  return { 'repeated' }
end

redis.call('INCR', prefix .. 'predictions:' .. bundle)
redis.call('HSET', KEYS[1], 'bundle', bundle, 'predicted', predicted, 'answer', answer, 'made', made)
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('ZADD', prefix .. 'bundles', 'GT', made, bundle)
add_bounded(prefix .. 'recent:' .. bundle, made, id, recent)

local parked = prefix .. 'parked:' .. id
local early = redis.call('HMGET', parked, 'label', 'label_at')
if early[1] then
  redis.call('DEL', parked)
  label_first(prefix, KEYS[1], id, sizes, lags, bundle, predicted, answer, made, early[1], early[2])
  return { 'joined' }
end
return { 'recorded' }
