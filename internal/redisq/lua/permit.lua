#!lua flags=allow-oom
-- permit: let a request to a queue's endpoint leave, if the limits of all push workers together allow it.
-- KEYS  1 meta  2 permits
-- ARGV  1 permit  2 most at once  3 time between two (µs), 0 none  4 lease (ms)  5 how long to remember the last (ms)
-- Returns {OK, 1}, and {OK, 0, ms until one may leave by the rate, 0 when it is the number at once}.
-- Re-sending is safe: a permit that is there is renewed, and counts once.
--#include clock
local meta, permits = KEYS[1], KEYS[2]
local permit, most, gap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
if not redis.call('ZSCORE', permits, permit) then
  if redis.call('ZCARD', permits) >= most then return {'OK', 0, 0} end
  if gap > 0 then
    local micros = time[1] * 1000000 + time[2]
    local wait = (tonumber(redis.call('HGET', meta, 'next')) or 0) - micros
    if wait > 0 and wait <= gap then return {'OK', 0, math.ceil(wait / 1000)} end -- more: the clock was set back, or the rate raised
    redis.call('HSET', meta, 'next', string.format('%.0f', micros + gap))
    redis.call('PEXPIRE', meta, ARGV[5])
  end
end
redis.call('ZADD', permits, now + ARGV[4], permit)
return {'OK', 1}
