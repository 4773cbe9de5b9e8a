-- Labels of predictions: shared by the scripts, which are loaded with this text in front of them. The times of
-- the events decide which label holds, and not the times at which they arrive, so that the order of arrival
-- does not matter and a rebuild counts the same labels.

-- What each event is handled with: the names of the arguments that both scripts begin with.
local function settings_of(argv)
  return {
    prefix = argv[1],
    id = argv[2],
    sizes = numbers(argv[3]),
    lags = tonumber(argv[4]),
    prediction_ttl = tonumber(argv[5]),
    parked_ttl = tonumber(argv[6]),
  }
end

-- Whether one label is newer than another; of two labels of the same time the higher one holds.
local function is_newer(label, at, than_label, than_at)
  local difference = tonumber(at) - tonumber(than_at)
  return difference > 0 or (difference == 0 and tonumber(label) > tonumber(than_label))
end

-- The first label of a prediction. `made` and `at` are Unix times in seconds.
local function label_first(set, bundle, predicted, answer, made, label, at)
  local prefix, id, sizes = set.prefix, set.id, set.sizes
  each_labelled(bundle, id, predicted, answer, function(scope, series, guess)
    enter(prefix, scope, series, sizes, sizes[#sizes], made, id .. ':' .. guess .. ':' .. label)
  end)
  local lag = string.format('%.6f:%s', math.max(0, tonumber(at) - tonumber(made)), id)
  each_scope(bundle, id, function(scope)
    redis.call('INCR', prefix .. 'labelled:' .. scope)
    add_bounded(prefix .. 'lags:' .. scope, at, lag, set.lags)
  end)
end

-- One label of a prediction that is known, under `key`.
-- Returns ok | duplicate | corrected | stale | expired
local function take_label(set, key, label, at)
  local found = redis.call(
    'HMGET', key, 'bundle', 'predicted', 'answer', 'made', 'label', 'label_at', 'wait')
  local bundle, predicted, answer, made, held, held_at, wait = unpack(found, 1, 7)
  if wait then
    label_item(set.prefix, bundle, set.id, tonumber(made), tonumber(wait), tonumber(label), tonumber(at))
  end
  local lag = tonumber(at) - tonumber(made)
  if lag > set.prediction_ttl or -lag > set.parked_ttl then
    return 'expired'
  end
  if held and not is_newer(label, at, held, held_at) then
    return held == label and 'duplicate' or 'stale'
  end
  redis.call('HSET', key, 'label', label, 'label_at', at)
  if not held then
    label_first(set, bundle, predicted, answer, made, label, at)
    return 'ok'
  end
  if held == label then
    return 'duplicate'
  end
  each_labelled(bundle, set.id, predicted, answer, function(scope, series, guess)
    local member = set.id .. ':' .. guess .. ':'
    -- A prediction that has left the windows stays outside.
    if leave(set.prefix, scope, series, set.sizes, member .. held) then
      local sizes = set.sizes
      enter(set.prefix, scope, series, sizes, sizes[#sizes], made, member .. label)
    end
  end)
  return 'corrected'
end

-- Labels that have come before their prediction, {{label, at}, ...} from the oldest to the newest.
local function parked_labels(parked)
  local flat = redis.call('HGETALL', parked)
  local labels = {}
  for index = 1, #flat, 2 do
    table.insert(labels, { flat[index + 1], flat[index] })
  end
  table.sort(labels, function(a, b)
    return is_newer(b[1], b[2], a[1], a[2])
  end)
  return labels
end

local MOST_PARKED = 32

-- Keeps a label until its prediction comes; all of them, since it is not known yet which of them are in time.
-- Returns unknown | duplicate | corrected | stale
local function park_label(set, label, at)
  local parked = set.prefix .. 'parked:' .. set.id
  local labels = parked_labels(parked)
  local newest = labels[#labels]
  local held = redis.call('HGET', parked, at)
  if not held or tonumber(label) > tonumber(held) then
    redis.call('HSET', parked, at, label)
  end
  if #labels >= MOST_PARKED and not held then
    redis.call('HDEL', parked, labels[1][2])
  end
  redis.call('EXPIRE', parked, set.parked_ttl)
  if not newest then
    return 'unknown'
  end
  if newest[1] == label then
    return 'duplicate'
  end
  return is_newer(label, at, newest[1], newest[2]) and 'corrected' or 'stale'
end

-- Takes the labels that were waiting for a prediction that has just come. True if one of them counts.
local function take_parked(set, key)
  local parked = set.prefix .. 'parked:' .. set.id
  local labels = parked_labels(parked)
  if #labels == 0 then
    return false
  end
  local joined = false
  for _, waiting in ipairs(labels) do
    joined = take_label(set, key, waiting[1], waiting[2]) ~= 'expired' or joined
  end
  redis.call('DEL', parked)
  return joined
end
