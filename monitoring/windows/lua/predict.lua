-- KEYS[1]  the prediction's hash
-- ARGV     prefix, id, sizes "10,100", lags kept, time to live of a prediction and of a parked label in
--          seconds, bundle, predicted, answer ('' abstained), time made, stage, number of the latest
--          predictions that are kept, at least the largest size; of its item (see items.lua): draw ('' none),
--          probability of the audit ('' not audited), seconds of the wait for a label, seconds kept, window
--          ('' no unit), bucket, unit, part of the promise
-- Returns  {recorded | joined | repeated}

local set = settings_of(ARGV)
local bundle, predicted, answer, made, stage, latest = unpack(ARGV, 7, 12)
local draw, probability, wait, kept, window, bucket, unit, part = unpack(ARGV, 13)

if redis.call('HEXISTS', KEYS[1], 'made') == 1 then
  return { 'repeated' }
end

redis.call('HSET', KEYS[1], 'bundle', bundle, 'predicted', predicted, 'answer', answer, 'made', made)
local ttl = set.prediction_ttl
if probability ~= '' then
  -- A store that is full evicts what lives shortest, and the label of an audit must find its prediction.
  redis.call('HSET', KEYS[1], 'wait', wait)
  ttl = ttl + kept
end
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('ZADD', set.prefix .. 'bundles', 'GT', made, bundle)
local decided = set.id .. ':' .. (answer == '' and '0' or '1') .. ':' .. stage
each_scope(bundle, set.id, function(scope)
  redis.call('INCR', set.prefix .. 'predictions:' .. scope)
  enter(set.prefix, scope, 'decided', set.sizes, tonumber(latest), made, decided)
end)

if draw ~= '' then
  enter_item(set.prefix, bundle, set.id, tonumber(made), answer, {
    draw = tonumber(draw),
    probability = tonumber(probability),
    kept = kept,
    window = window,
    bucket = bucket,
    unit = unit,
    part = part,
  })
end

return { take_parked(set, KEYS[1]) and 'joined' or 'recorded' }
