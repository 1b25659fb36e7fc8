#!lua flags=allow-oom
-- expired: move ended leases to lost in one step, and say what lost has.
-- KEYS  1 meta  2 leases  3 lost
-- ARGV  1 epoch  2 limit (attempts)  3 deadline (ms)
-- Returns {OK, member, score, …} of up to limit attempts in lost; STALE; LATE.
-- Re-sending is safe: what was moved is found in lost until drop removes it.
--#include guard
--#include clock
local leases, lost, limit = KEYS[2], KEYS[3], ARGV[2]
-- A Redis that stood still runs this before the heartbeats that queue behind it.
if now > tonumber(ARGV[3]) then return {'LATE'} end
local ended = redis.call('ZRANGE', leases, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
local move, members = {}, {}
for i = 1, #ended, 2 do
  members[#members + 1] = ended[i]
  move[#move + 1], move[#move + 2] = ended[i + 1], ended[i]
end
if #members > 0 then
  redis.call('ZADD', lost, 'NX', unpack(move))
  redis.call('ZREM', leases, unpack(members))
end
return {'OK', unpack(redis.call('ZRANGE', lost, 0, limit - 1, 'WITHSCORES'))}
