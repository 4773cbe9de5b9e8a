-- Leave what a person has done for the engine that leads. Repeated, it changes nothing.
-- KEYS[1]: acts. ARGV: id, document, most. Reply: 1, or 0 if there is no room.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return 1
