-- Shared by the scripts, which are loaded with this text in front of them: what the monitors count.
--
-- Of each window of a unit, the frame with the smallest draw is the item: one among the answered frames, for
-- the risk, and one among all decided frames, for the coverage. A smaller draw takes the place of the former
-- item, so events in any order give the same items. Kept for each bundle:
--   items:counts:B:MINUTE    hash, second of the minute and uPART, d or a -> number of unaudited items in a
--                            part of the promise, of items over all decided frames, and of answered ones
--                            among those
--   items:audits:B:MINUTE    hash, request id -> record of the audited item; '' once it has been replaced
--   items:minutes:B          sorted set of the minutes that hold anything
--   items:waiting:B          sorted set of the ids of unlabelled audits, by the time of the answer
--   items:changes:B          sorted set, "m:MINUTE" for counts and "i:MINUTE:ID" for audits, by the number of
--                            the last change
--   items:totals:B           hash: sequence, epoch, since, held, units, drawn, replaced, labelled, expired
--   items:units:B:BUCKET     hash, window of a unit -> its smallest draws; the only one of them that has a
--                            time to live, so a full store may evict it

local MOST_AUDITS = 250000 -- of a bundle; beyond them, the oldest are forgotten
-- Made, probability, time of the label, answer, label (-1: none), length of the part; then part and unit.
local RECORD = '>dddhhH'
local SMALLEST = '>Bdddd' -- flags; draw and second among all frames, and among answered ones; id or part
local DECIDED_ANSWERED, HAS_ANSWERED, AUDITED = 1, 2, 4

local function items_key(prefix, part, bundle, suffix)
  return prefix .. 'items:' .. part .. ':' .. bundle .. (suffix and ':' .. suffix or '')
end

local function server_time()
  local now = redis.call('TIME')
  return tonumber(now[1]) + tonumber(now[2]) / 1e6
end

local function add_total(prefix, bundle, name, by)
  return redis.call('HINCRBY', items_key(prefix, 'totals', bundle), name, by)
end

local function note_change(prefix, bundle, member)
  local number = add_total(prefix, bundle, 'sequence', 1)
  if number == 1 then
    redis.call('HSET', items_key(prefix, 'totals', bundle), 'epoch', string.format('%.6f', server_time()))
  end
  redis.call('ZADD', items_key(prefix, 'changes', bundle), number, member)
end

local function remove_members(key, members)
  for first = 1, #members, 1000 do
    redis.call('ZREM', key, unpack(members, first, math.min(first + 999, #members)))
  end
end

-- Forgets everything about one minute.
local function forget_minute(prefix, bundle, minute)
  local audits = items_key(prefix, 'audits', bundle, minute)
  local changes, unlabelled, held = { 'm:' .. minute }, {}, 0
  local records = redis.call('HGETALL', audits)
  for at = 1, #records, 2 do
    local id, record = records[at], records[at + 1]
    table.insert(changes, 'i:' .. minute .. ':' .. id)
    if record ~= '' then
      held = held + 1
      local _, _, _, _, label = struct.unpack(RECORD, record)
      if label < 0 then
        table.insert(unlabelled, id)
      end
    end
  end
  remove_members(items_key(prefix, 'changes', bundle), changes)
  remove_members(items_key(prefix, 'waiting', bundle), unlabelled)
  redis.call('DEL', audits, items_key(prefix, 'counts', bundle, minute))
  redis.call('ZREM', items_key(prefix, 'minutes', bundle), minute)
  add_total(prefix, bundle, 'held', -held)
  add_total(prefix, bundle, 'expired', #unlabelled)
  local totals, since = items_key(prefix, 'totals', bundle), 60 * (tonumber(minute) + 1)
  if since > tonumber(redis.call('HGET', totals, 'since') or 0) then
    redis.call('HSET', totals, 'since', since)
  end
end

-- Forgets a few of the oldest minutes: of this bundle if it holds too many audits, of any bundle if they are
-- too old. A minute that begins is the occasion, so as many end as begin.
local function forget_old(prefix, bundle, kept)
  local oldest = server_time() - kept
  for _, other in ipairs(redis.call('ZRANGE', prefix .. 'bundles', 0, -1)) do
    local minutes = items_key(prefix, 'minutes', other)
    local last = string.format('%d', math.floor(oldest / 60) - 1)
    for _, minute in ipairs(redis.call('ZRANGEBYSCORE', minutes, '-inf', last, 'LIMIT', 0, 3)) do
      forget_minute(prefix, other, minute)
    end
  end
  local totals, minutes = items_key(prefix, 'totals', bundle), items_key(prefix, 'minutes', bundle)
  while tonumber(redis.call('HGET', totals, 'held') or 0) > MOST_AUDITS
    and redis.call('ZCARD', minutes) > 1 do
    forget_minute(prefix, bundle, redis.call('ZRANGE', minutes, 0, 0)[1])
  end
end

local function minute_of(second)
  return string.format('%d', math.floor(second / 60))
end

local function begin_minute(prefix, bundle, minute, kept)
  if redis.call('ZADD', items_key(prefix, 'minutes', bundle), minute, minute) == 1 then
    forget_old(prefix, bundle, kept)
  end
end

-- Adds `by` to counts of one second, {u = by, ...}, and notes the change of its minute.
local function count(prefix, bundle, second, by)
  local minute = minute_of(second)
  local key = items_key(prefix, 'counts', bundle, minute)
  for kind, number in pairs(by) do
    redis.call('HINCRBY', key, string.format('%d%s', second - 60 * tonumber(minute), kind), number)
  end
  note_change(prefix, bundle, 'm:' .. minute)
end

local function add_audit(prefix, bundle, id, made, answer, item)
  local minute = minute_of(math.floor(made))
  local record = struct.pack(RECORD, made, item.probability, 0, answer, -1, #item.part)
    .. item.part .. item.unit
  redis.call('HSET', items_key(prefix, 'audits', bundle, minute), id, record)
  redis.call('ZADD', items_key(prefix, 'waiting', bundle), string.format('%.6f', made), id)
  add_total(prefix, bundle, 'held', 1)
  note_change(prefix, bundle, 'i:' .. minute .. ':' .. id)
end

local function take_audit_back(prefix, bundle, id, second)
  local minute = minute_of(second)
  local audits = items_key(prefix, 'audits', bundle, minute)
  local record = redis.call('HGET', audits, id)
  if not record then
    return -- forgotten with its minute
  end
  local _, _, _, _, label = struct.unpack(RECORD, record)
  redis.call('HSET', audits, id, '')
  redis.call('ZREM', items_key(prefix, 'waiting', bundle), id)
  add_total(prefix, bundle, 'held', -1)
  add_total(prefix, bundle, 'replaced', 1)
  if label >= 0 then
    add_total(prefix, bundle, 'labelled', -1)
  end
  note_change(prefix, bundle, 'i:' .. minute .. ':' .. id)
end

-- Enters a frame of a unit among the smallest draws of its window. Returns whether it is the item of all
-- decided frames, and whether it is that of the answered ones.
local function enter_unit_window(prefix, bundle, id, second, answered, item)
  local bucket = items_key(prefix, 'units', bundle, item.bucket)
  local held = redis.call('HGET', bucket, item.window)
  local flags, all_draw, all_second, draw, answered_second, former = 0, 2, 0, 2, 0, ''
  if held then
    local rest
    flags, all_draw, all_second, draw, answered_second, rest = struct.unpack(SMALLEST, held)
    former = string.sub(held, rest)
  end
  local first_of_all = item.draw < all_draw
  local first_of_answered = answered and item.draw < draw
  if not first_of_all and not first_of_answered then
    return false, false
  end
  if first_of_all then
    if held then
      count(prefix, bundle, all_second, { d = -1, a = bit.band(flags, DECIDED_ANSWERED) > 0 and -1 or nil })
    end
    all_draw, all_second = item.draw, second
    flags = bit.bor(bit.band(flags, HAS_ANSWERED + AUDITED), answered and DECIDED_ANSWERED or 0)
  end
  if first_of_answered then
    if bit.band(flags, AUDITED) > 0 then
      take_audit_back(prefix, bundle, former, answered_second)
    elseif bit.band(flags, HAS_ANSWERED) > 0 then
      count(prefix, bundle, answered_second, { ['u' .. former] = -1 })
    end
    draw, answered_second, former = item.draw, second, item.probability and id or item.part
    flags = bit.bor(bit.band(flags, DECIDED_ANSWERED), HAS_ANSWERED, item.probability and AUDITED or 0)
  end
  local smallest = struct.pack(SMALLEST, flags, all_draw, all_second, draw, answered_second) .. former
  if redis.call('HSET', bucket, item.window, smallest) == 1 then
    redis.call('EXPIRE', bucket, item.kept)
  end
  return first_of_all, first_of_answered
end

-- Enters a decided frame. `item`: draw, probability (nil: not audited), kept, window, bucket, unit ('': none),
-- part.
local function enter_item(prefix, bundle, id, made, answer, item)
  local totals = items_key(prefix, 'totals', bundle)
  local since, with_units = unpack(redis.call('HMGET', totals, 'since', 'units'), 1, 2)
  if made < math.max(tonumber(since or 0), server_time() - item.kept) then
    return -- so old that it is final, and forgotten
  end
  local second, answered = math.floor(made), answer ~= ''
  begin_minute(prefix, bundle, minute_of(second), item.kept)
  local first_of_all, first_of_answered = true, answered
  if item.window ~= '' then
    if not with_units then
      redis.call('HSET', totals, 'units', 1)
    end
    first_of_all, first_of_answered = enter_unit_window(prefix, bundle, id, second, answered, item)
  end
  if item.probability then
    add_total(prefix, bundle, 'drawn', 1)
    if first_of_answered then
      add_audit(prefix, bundle, id, made, answer, item)
    else
      add_total(prefix, bundle, 'replaced', 1)
    end
  end
  local unaudited = first_of_answered and not item.probability
  if first_of_all or unaudited then
    count(prefix, bundle, second, {
      ['u' .. item.part] = unaudited and 1 or nil,
      d = first_of_all and 1 or nil,
      a = first_of_all and answered and 1 or nil,
    })
  end
end

-- Enters a label of an audited frame; of several from within the wait, the latest counts, and of two with the
-- same time the greater one, so that their order does not matter.
local function label_item(prefix, bundle, id, made, wait, label, at)
  if at > made + wait then
    return
  end
  local minute = minute_of(math.floor(made))
  local audits = items_key(prefix, 'audits', bundle, minute)
  local record = redis.call('HGET', audits, id)
  if not record or record == '' then
    return -- replaced, or forgotten
  end
  local _, probability, held_at, answer, held, part_length, rest = struct.unpack(RECORD, record)
  if held >= 0 and (at < held_at or at == held_at and label <= held) then
    return
  end
  redis.call('HSET', audits, id,
    struct.pack(RECORD, made, probability, at, answer, label, part_length) .. string.sub(record, rest))
  if held < 0 then
    redis.call('ZREM', items_key(prefix, 'waiting', bundle), id)
    add_total(prefix, bundle, 'labelled', 1)
  end
  note_change(prefix, bundle, 'i:' .. minute .. ':' .. id)
end
