-- One round of an engine: take or renew the lease, leave its own readings, and fetch what others have left.
-- KEYS[1]: lease. ARGV: prefix, engine, lease in ms, least fence, known version, readings, their life in ms.
-- Reply: fence (0: another engine leads), leader, version, state or "", acts, readings of the other engines.
local lease, prefix, me = KEYS[1], ARGV[1], ARGV[2]
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local holder = redis.call('HGET', lease, 'engine')
local due = tonumber(redis.call('HGET', lease, 'until') or '0')
local fence = tonumber(redis.call('HGET', lease, 'fence') or '0')
-- A server whose clock was set back must not keep a lease for longer than it lasts.
local free = not holder or due <= ms or due > ms + 2 * tonumber(ARGV[3])
local leads = 0
if holder == me and due > 0 and fence >= tonumber(ARGV[4]) then
  leads = fence
elseif free or holder == me then
  leads = math.max(fence, tonumber(ARGV[4])) + 1
  redis.call('HSET', lease, 'engine', me, 'fence', leads)
end
if leads > 0 then
  redis.call('HSET', lease, 'until', ms + tonumber(ARGV[3]))
  holder = me
end
local others = {}
local readings = prefix .. 'readings'
local flat = redis.call('HGETALL', readings)
for i = 1, #flat, 2 do
  local at, rest = string.match(flat[i + 1], '^(%d+) (.*)$')
  local age = at and math.abs(ms - tonumber(at)) or math.huge
  if age > tonumber(ARGV[7]) then
    redis.call('HDEL', readings, flat[i])
  elseif flat[i] ~= me then
    others[#others + 1] = rest
  end
end
redis.call('HSET', readings, me, string.format('%d', ms) .. ' ' .. ARGV[6])
local version = redis.call('HGET', prefix .. 'state', 'version') or '0'
local state = ''
if version ~= ARGV[5] then
  state = redis.call('HGET', prefix .. 'state', 'document') or ''
end
return {leads, holder, version, state, redis.call('HVALS', prefix .. 'acts'), others}
