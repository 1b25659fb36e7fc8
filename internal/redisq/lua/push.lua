#!lua
-- push: accept the envelopes of one ledger row into the bands of a queue.
-- KEYS  1 meta  2 high  3 normal  4 low  5 bell  6 batches
-- ARGV  1 epoch  2 dispatch_id  3 deadline (ms)  4 known seq  5 ids to forget (count)
-- ARGV  6-11 fresh and lost of high, normal, low (counts)  12.. ids to forget, then envelopes in that order
-- Returns {OK, seq, depth, now}; {DUP, seq of the first time, depth, now}; STALE, BEHIND, LATE.
-- Re-sending is safe: the batch is noted in the step that pushes it, and a noted batch is DUP.
--#include guard
--#include clock
--#include ring
--#include depth
--#include forget
local bands, bell, batches = {KEYS[2], KEYS[3], KEYS[4]}, KEYS[5], KEYS[6]
local dispatch_id, deadline, known, forgets = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if tonumber(seq) < known then return {'BEHIND', seq} end
-- DUP stands before LATE: LATE then means that this Redis never had the batch.
local noted = redis.call('HGET', batches, dispatch_id)
if noted then return {'DUP', noted, depth(unpack(bands)), now} end
if now > deadline then return {'LATE', now} end

local first = 12 + forgets
forget(batches, 12, first - 1)
local function push(verb, band, count)
  if count == 0 then return end
  redis.call(verb, band, unpack(ARGV, first, first + count - 1))
  first = first + count
end
for i, band in ipairs(bands) do
  push('LPUSH', band, tonumber(ARGV[4 + 2 * i]))
  push('RPUSH', band, tonumber(ARGV[5 + 2 * i])) -- the taking end, for jobs that were lost
end
seq = redis.call('HINCRBY', meta, 'seq', 1)
redis.call('HSET', batches, dispatch_id, seq)
if paused ~= '1' then ring(bell, #ARGV - 11 - forgets) end
return {'OK', seq, depth(unpack(bands)), now}
