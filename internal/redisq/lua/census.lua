#!lua flags=allow-oom
-- census: count a queue's window, and copy on the way what Redis must know.
-- KEYS  1 meta  2 high  3 normal  4 low  5 leases  6 lost  7 bell  8 batches
-- ARGV  1 epoch  2 known seq  3 paused (0 or 1)  4.. batches to forget
-- Returns {OK, epoch, seq, paused, high, normal, low, leased, lost, first deadline (ms), now (ms)}; STALE, BEHIND.
-- Re-sending is safe: it copies and forgets the same, and rings only up to one token per job.
--#include guard
--#include clock
--#include ring
--#include depth
--#include forget
--#include window
local high, normal, low, leases, lost, bell, batches = unpack(KEYS, 2)
local known, wanted = tonumber(ARGV[2]), ARGV[3]
if tonumber(seq) < known then return {'BEHIND', seq} end
forget(batches, 4, #ARGV)
if paused ~= wanted then
  redis.call('HSET', meta, 'paused', wanted)
  if wanted ~= '1' then ring(bell, depth(high, normal, low)) end
end
return window(meta, high, normal, low, leases, lost)
