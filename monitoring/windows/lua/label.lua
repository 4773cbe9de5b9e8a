-- KEYS[1]  the prediction's hash
-- ARGV     prefix, id, sizes "10,100", lags kept, time to live of a prediction and of a parked label in
--          seconds, label, time of the label
-- Returns  {ok | duplicate | corrected | stale | expired | unknown}

local set = settings_of(ARGV)
local label, at = unpack(ARGV, 7)

if redis.call('HEXISTS', KEYS[1], 'made') == 1 then
  return { take_label(set, KEYS[1], label, at) }
end
return { park_label(set, label, at) }
