-- KEYS[1]  the prediction's hash
-- ARGV     prefix, id, sizes "10,100", lags kept, bundle, predicted, answer ('' abstained), time made,
--          time to live in seconds, number of the latest predictions whose times are kept; of its item
--          (see items.lua): draw ('' none), probability of the audit ('' not audited), seconds of the wait
--          for a label, seconds kept, window ('' no unit), bucket, unit, part of the promise
-- Returns  {recorded | joined | repeated}

local prefix, id, sizes, lags, bundle, predicted, answer, made, ttl, recent = unpack(ARGV, 1, 10)
local draw, probability, wait, kept, window, bucket, unit, part = unpack(ARGV, 11)
local audited = probability ~= ''

if redis.call('HEXISTS', KEYS[1], 'made') == 1 then
  return { 'repeated' }
end

redis.call('INCR', prefix .. 'predictions:' .. bundle)
redis.call('HSET', KEYS[1], 'bundle', bundle, 'predicted', predicted, 'answer', answer, 'made', made)
if audited then
  -- A store that is full evicts what lives shortest, and the label of an audit must find its prediction.
  redis.call('HSET', KEYS[1], 'wait', wait)
  ttl = ttl + kept
end
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('ZADD', prefix .. 'bundles', 'GT', made, bundle)
add_bounded(prefix .. 'recent:' .. bundle, made, id, recent)

if draw ~= '' then
  enter_item(prefix, bundle, id, tonumber(made), answer, {
    draw = tonumber(draw),
    probability = tonumber(probability),
    kept = kept,
    window = window,
    bucket = bucket,
    unit = unit,
    part = part,
  })
end

local parked = prefix .. 'parked:' .. id
local early = redis.call('HMGET', parked, 'label', 'label_at')
if early[1] then
  if audited then
    each_parked_label(parked, function(label, at)
      label_item(prefix, bundle, id, tonumber(made), tonumber(wait), label, at)
    end)
  end
  redis.call('DEL', parked)
  label_first(prefix, KEYS[1], id, sizes, lags, bundle, predicted, answer, made, early[1], early[2])
  return { 'joined' }
end
return { 'recorded' }
