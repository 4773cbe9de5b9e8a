-- The changes of a bundle's items, the earliest first.
-- KEYS[1]  the bundle's totals
-- ARGV     prefix, bundle, number after which, most changes
-- Returns  {epoch ('' the bundle has no items), since, whether any has a unit (1), number of the last change
--           returned, {{minute, {counts}}, ...}, {{id, record}, ...}}

local prefix, bundle, after, most = unpack(ARGV)

local epoch, since, units = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'since', 'units'), 1, 3)
local changed = redis.call(
  'ZRANGEBYSCORE', items_key(prefix, 'changes', bundle), '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local counts, audits, last = {}, {}, after
for at = 1, #changed, 2 do
  local kind, minute, id = string.match(changed[at], '^(%a):(%-?%d+):?(.*)$')
  last = changed[at + 1]
  if kind == 'm' then
    table.insert(counts, { minute, redis.call('HGETALL', items_key(prefix, 'counts', bundle, minute)) })
  else
    table.insert(audits, { id, redis.call('HGET', items_key(prefix, 'audits', bundle, minute), id) or '' })
  end
end
return { epoch or '', since or '0', units and 1 or 0, last, counts, audits }
