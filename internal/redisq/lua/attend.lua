#!lua flags=allow-oom
-- attend: renew the permits that a push worker has, and show it among the others of its queue.
-- KEYS  1 meta  2 permits  3 pushers
-- ARGV  1 the worker  2 lease (ms)  3.. permits
-- Returns {OK, the worker's place among those that live, counting from 0, and how many they are}.
-- Re-sending is safe: what is there is renewed. A permit that Redis has lost is there again.
--#include clock
local permits, pushers = KEYS[2], KEYS[3]
local worker, deadline = ARGV[1], now + ARGV[2]
redis.call('ZADD', pushers, deadline, worker)
redis.call('ZREMRANGEBYSCORE', pushers, '-inf', now)
redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
for i = 3, #ARGV do redis.call('ZADD', permits, deadline, ARGV[i]) end
local living, place = redis.call('ZRANGE', pushers, 0, -1), 0
for _, other in ipairs(living) do
  if other < worker then place = place + 1 end
end
return {'OK', place, #living}
