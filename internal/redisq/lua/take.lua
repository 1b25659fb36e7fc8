#!lua flags=allow-oom
-- take: lease up to limit jobs of a queue, the most urgent band first, and hand them over.
-- KEYS  1 meta  2 high  3 normal  4 low  5 leases  6 lost  7 cancelled  8 bell  9 receipt
-- ARGV  1 epoch  2 token  3 limit (jobs)  4 lease (ms)  5 life of the receipt (ms)
-- Returns {OK, jobs left, garbage, envelopes} with garbage a list of what is no envelope; STALE.
-- Re-sending is safe: the receipt answers the same token with those of its jobs that are still leased.
--#include guard
--#include clock
--#include ring
--#include depth
--#include member
--#include receipt
local bands, bell = {KEYS[2], KEYS[3], KEYS[4]}, KEYS[8]
local leases, claimed, receipt = KEYS[5], {KEYS[5], KEYS[6], KEYS[7]}, KEYS[9]
-- As text: Lua would print the number anew for every job.
local token, limit, deadline, life = ARGV[2], tonumber(ARGV[3]), string.format('%.0f', now + ARGV[4]), ARGV[5]

local again = answered(receipt, token, leases, deadline)
if again then return {'OK', paused == '1' and 0 or depth(unpack(bands)), {}, again} end
if paused == '1' then
  redis.call('DEL', bell)
  return {'OK', 0, {}, {}}
end

local envelopes, lease, garbage, seen = {}, {}, {}, {}
local function keep(popped)
  local members = {}
  for i, envelope in ipairs(popped) do members[i] = member(envelope) or '' end
  for _, set in ipairs(claimed) do
    local scores = redis.call('EXISTS', set) == 1 and redis.call('ZMSCORE', set, unpack(members)) or {}
    for i = 1, #scores do if scores[i] then seen[members[i]] = true end end
  end
  for i, m in ipairs(members) do
    if m == '' then
      garbage[#garbage + 1] = string.sub(popped[i], 1, 200)
    elseif not seen[m] then
      seen[m], envelopes[#envelopes + 1] = true, popped[i]
      lease[#lease + 1], lease[#lease + 2] = deadline, m
    end
  end
end

local tries = limit + 500 -- a window full of called-off copies must not stop Redis
for _, band in ipairs(bands) do
  while #envelopes < limit and tries > 0 do
    local popped = redis.call('RPOP', band, limit - #envelopes)
    if not popped then break end
    tries = tries - #popped
    keep(popped)
  end
end
if #envelopes > 0 then
  redis.call('ZADD', leases, unpack(lease))
  note(receipt, token, envelopes, life)
end
local left = depth(unpack(bands))
if left > 0 then ring(bell, left) else redis.call('DEL', bell) end
return {'OK', left, garbage, envelopes}
