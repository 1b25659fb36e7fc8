#!lua flags=allow-oom
-- announce: lease anew, in a new epoch, what a worker was running in an older one.
-- KEYS  1 meta  2 leases  3 lost
-- ARGV  1 epoch  2 lease (ms)  3.. members
-- Returns {OK, refused}, a list of positions counting from 0: they are being taken back; STALE.
-- Re-sending is safe: a lease that is there is renewed, and what lost has stays refused.
--#include guard
--#include clock
local leases, lost = KEYS[2], KEYS[3]
local deadline = now + ARGV[2]
local lease, refused = {}, {}
for i, score in ipairs(redis.call('ZMSCORE', lost, unpack(ARGV, 3))) do
  if score then
    refused[#refused + 1] = i - 1
  else
    lease[#lease + 1], lease[#lease + 2] = deadline, ARGV[2 + i]
  end
end
if #lease > 0 then redis.call('ZADD', leases, unpack(lease)) end
return {'OK', refused}
