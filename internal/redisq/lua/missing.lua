#!lua flags=allow-oom
-- missing: put those attempts that nobody has leased into lost, with score 0.
-- KEYS  1 meta  2 leases  3 lost
-- ARGV  1 epoch  2.. members
-- Returns {OK, score or false for each member}: its score in lost; STALE.
-- Re-sending is safe: what lost has already keeps its score.
--#include guard
local leases, lost = KEYS[2], KEYS[3]
local move = {}
for i, score in ipairs(redis.call('ZMSCORE', leases, unpack(ARGV, 2))) do
  if not score then move[#move + 1], move[#move + 2] = 0, ARGV[1 + i] end
end
if #move > 0 then redis.call('ZADD', lost, 'NX', unpack(move)) end
return {'OK', redis.call('ZMSCORE', lost, unpack(ARGV, 2))}
