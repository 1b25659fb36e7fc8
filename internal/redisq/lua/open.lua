#!lua flags=allow-oom
-- open: begin an epoch: throw the window away, keep leases and lost.
-- KEYS  1 meta  2 high  3 normal  4 low  5 bell  6 batches  7 cancelled
-- ARGV  1 epoch  2 paused (0 or 1)
-- Returns {OK, epoch}; {STALE, the higher or foreign epoch that is held}.
-- Re-sending is safe: the epoch this very process holds is left as it is.
local meta, epoch, paused = KEYS[1], ARGV[1], ARGV[2]
local held, life = unpack(redis.call('HMGET', meta, 'epoch', 'life'))
local process = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if held == epoch and life == process then return {'OK', epoch} end
if held and tonumber(held) >= tonumber(epoch) then return {'STALE', held} end
redis.call('UNLINK', unpack(KEYS))
redis.call('HSET', meta, 'epoch', epoch, 'life', process, 'paused', paused, 'seq', 0)
return {'OK', epoch}
