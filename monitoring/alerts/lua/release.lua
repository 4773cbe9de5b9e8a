-- Give the lease back, so that another engine need not wait for its end.
-- KEYS[1]: lease. ARGV: prefix, engine. The fence stays, and only grows.
redis.call('HDEL', ARGV[1] .. 'readings', ARGV[2])
if redis.call('HGET', KEYS[1], 'engine') == ARGV[2] then
  redis.call('HSET', KEYS[1], 'until', 0)
end
return 1
