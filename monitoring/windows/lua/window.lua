-- Windows: shared by the scripts that are loaded with this text in front of them.
--
-- A *scope* is one bundle, or 'total' for all bundles of the model. Each scope has three series: 'all'
-- labelled predictions with their forced labels, the 'answered' ones among them with their answers, and
-- 'decided' for every prediction, labelled or not.
--
-- A series is one sorted set, "id:first:second" scored by the time at which the prediction was made: its
-- label and its guess, or whether it was answered and by which stage. The windows of all sizes are the last
-- N of that one set; a hash of counts stands beside it, "N first:second" -> count.
-- An old prediction whose label is late enters at its place in the order of the *predictions* and, behind a
-- full window, leaves again at once. So events that arrive late or in another order give the same windows.
-- Of predictions made at the same time, the id decides the order.

local function window_key(prefix, scope, series)
  return prefix .. 'window:' .. scope .. ':' .. series
end

local function counts_key(prefix, scope, series)
  return prefix .. 'counts:' .. scope .. ':' .. series
end

-- "10,100" -> { 10, 100 } in ascending order, as given.
local function numbers(text)
  local found = {}
  for number in string.gmatch(text, '%d+') do
    table.insert(found, tonumber(number))
  end
  return found
end

local function cell_of(member)
  return string.match(member, ':(%w+:%w+)$')
end

-- Adds to one count; a count of zero takes no room.
local function add_count(counts, size, cell, by)
  local field = size .. ' ' .. cell
  if redis.call('HINCRBY', counts, field, by) == 0 then
    redis.call('HDEL', counts, field)
  end
end

-- One member enters a window and another one, if any, leaves it.
local function exchange(counts, size, entering, leaving)
  local cell, other = cell_of(entering), leaving and cell_of(leaving)
  if cell ~= other then
    add_count(counts, size, cell, 1)
    if other then
      add_count(counts, size, other, -1)
    end
  end
end

-- Enters a member, and pushes the oldest out of each window that is full. The set keeps `most` members.
-- A member that is there already changes nothing: a repeated delivery, after the prediction had expired.
local function enter(prefix, scope, series, sizes, most, made, member)
  local window = window_key(prefix, scope, series)
  local counts = counts_key(prefix, scope, series)
  if redis.call('ZADD', window, made, member) == 0 then
    return
  end
  local place = redis.call('ZREVRANK', window, member)
  local held = redis.call('ZCARD', window)
  for _, size in ipairs(sizes) do
    if place < size then
      exchange(counts, size, member, held > size and redis.call('ZREVRANGE', window, size, size)[1])
    end
  end
  if held > most then
    redis.call('ZPOPMIN', window)
  end
end

-- Takes a member out; the next older one enters each window that had held it. False if it is not there.
local function leave(prefix, scope, series, sizes, member)
  local window = window_key(prefix, scope, series)
  local counts = counts_key(prefix, scope, series)
  local place = redis.call('ZREVRANK', window, member)
  if not place then
    return false
  end
  redis.call('ZREM', window, member)
  for _, size in ipairs(sizes) do
    if place < size then
      local next = redis.call('ZREVRANGE', window, size - 1, size - 1)[1]
      if next then
        exchange(counts, size, next, member)
      else
        add_count(counts, size, cell_of(member), -1)
      end
    end
  end
  return true
end

-- Calls act(scope) for the bundle and for the total. A shadow answers nothing and copies what another
-- bundle has answered, so it is in no total; no client can send an id with a '~'.
local function each_scope(bundle, id, act)
  act(bundle)
  if not string.find(id, '~', 1, true) then
    act('total')
  end
end

-- Calls act(scope, series, guess) for every series of labelled predictions that holds this one: it is always
-- in 'all' with its forced label, and in 'answered' with its answer if it was answered.
local function each_labelled(bundle, id, predicted, answer, act)
  each_scope(bundle, id, function(scope)
    act(scope, 'all', predicted)
    if answer ~= '' then
      act(scope, 'answered', answer)
    end
  end)
end

-- Adds a member to a sorted set that keeps its `most` highest scores.
local function add_bounded(key, score, member, most)
  redis.call('ZADD', key, score, member)
  if redis.call('ZCARD', key) > tonumber(most) then
    redis.call('ZPOPMIN', key)
  end
end
