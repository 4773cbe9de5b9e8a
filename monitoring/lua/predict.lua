-- KEYS[1]  the prediction's hash
-- ARGV     prefix, id, sizes "10,100", lags kept, bundle, predicted, answer ('' abstained), time made,
--          time to live in seconds
-- Returns  {recorded | joined | repeated, order}

local prefix, id, sizes, lags, bundle, predicted, answer, made, ttl = unpack(ARGV)

local known = redis.call('HGET', KEYS[1], 'order')
if known then
  return { 'repeated', tonumber(known) }
end

local order = redis.call('INCR', prefix .. 'order:' .. bundle)
redis.call('HSET', KEYS[1], 'order', order, 'bundle', bundle, 'predicted', predicted, 'answer', answer, 'made', made)
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('ZADD', prefix .. 'bundles', made, bundle)

local parked = prefix .. 'parked:' .. id
local early = redis.call('HMGET', parked, 'label', 'label_at')
if early[1] then
  redis.call('DEL', parked)
  label_first(prefix, KEYS[1], id, sizes, lags, bundle, order, predicted, answer, made, early[1], early[2])
  return { 'joined', order }
end
return { 'recorded', order }
