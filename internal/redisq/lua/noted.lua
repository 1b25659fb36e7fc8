#!lua flags=no-writes
-- noted: say which batches up to a seq are still noted, a part of the notes at a time.
-- KEYS  1 meta  2 batches
-- ARGV  1 epoch  2 seq  3 where to go on (cursor, 0 to begin)
-- Returns {OK, where to go on or 0, dispatch_ids}; STALE.
-- Re-sending is safe: it changes nothing.
--#include guard
local batches, last, cursor = KEYS[2], tonumber(ARGV[2]), ARGV[3]
local part = redis.call('HSCAN', batches, cursor, 'COUNT', 500)
local noted, ids = part[2], {}
for i = 1, #noted, 2 do
  if tonumber(noted[i + 1]) <= last then ids[#ids + 1] = noted[i] end
end
return {'OK', part[1], ids}
