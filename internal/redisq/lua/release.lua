#!lua flags=allow-oom
-- release: put jobs that were taken and not begun back to the taking end, in their order.
-- KEYS  1 meta  2 high  3 normal  4 low  5 leases  6 bell
-- ARGV  1 epoch  2.. for each job: member, band (1 to 3), envelope
-- Returns {OK, how many were put back}; STALE.
-- Re-sending is unsafe: once another worker has taken the job, its lease would go. The client sends it once.
--#include guard
--#include ring
local leases, bell = KEYS[5], KEYS[6]
local members, back, removed = {}, {{}, {}, {}}, {}
for i = 2, #ARGV, 3 do members[#members + 1] = ARGV[i] end
local scores = redis.call('ZMSCORE', leases, unpack(members))
for i = #members, 1, -1 do -- the first job is pushed last: it is taken first
  if scores[i] then
    local band = back[tonumber(ARGV[3 * i])]
    band[#band + 1], removed[#removed + 1] = ARGV[3 * i + 1], members[i]
  end
end
if #removed == 0 then return {'OK', 0} end
redis.call('ZREM', leases, unpack(removed))
redis.call('HINCRBY', meta, 'releases', 1) -- for the audit: the one way from a lease back into the window
for i, envelopes in ipairs(back) do
  if #envelopes > 0 then redis.call('RPUSH', KEYS[1 + i], unpack(envelopes)) end
end
if paused ~= '1' then ring(bell, #removed) end
return {'OK', #removed}
