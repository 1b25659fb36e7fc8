#!lua flags=allow-oom
-- cancel: call off attempts: take drops their copies, beat tells whoever runs them.
-- KEYS  1 meta  2 cancelled
-- ARGV  1 epoch  2 how long to remember (ms)  3.. members
-- Returns {OK, how many are remembered}; STALE.
-- Re-sending is safe: an order that is there gets a newer time.
--#include guard
--#include clock
local cancelled, horizon = KEYS[2], now - ARGV[2]
local orders = {}
for i = 3, #ARGV do orders[#orders + 1], orders[#orders + 2] = now, ARGV[i] end
redis.call('ZADD', cancelled, unpack(orders))
redis.call('ZREMRANGEBYSCORE', cancelled, '-inf', '(' .. horizon)
return {'OK', redis.call('ZCARD', cancelled)}
