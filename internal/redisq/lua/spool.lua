#!lua
-- spool: keep one request's jobs until Postgres is back.
-- KEYS  1 meta  2 jobs  3 keys
-- ARGV  1 key  2 digest (hex)  3 jobs (JSON)  4 most entries  5 most bytes  6 seal
-- Returns {OK or DUP, entries, bytes}; {FULL, entries, bytes}; {REUSED}.
-- Re-sending is safe: the key is noted in the step that keeps the entry, and a noted key is DUP.
local meta, jobs, keys = unpack(KEYS)
local key, digest, text, seal = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local most_entries, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local entries, bytes = redis.call('XLEN', jobs), tonumber(redis.call('HGET', meta, 'bytes') or '0')

local noted = redis.call('HGET', keys, key)
local id = noted and string.match(noted, ':(.+)$')
if id and #redis.call('XRANGE', jobs, id, id) == 1 then -- else somebody has deleted it by hand
  if string.sub(noted, 1, #digest) ~= digest then return {'REUSED'} end
  return {'DUP', entries, bytes}
end
if entries == 0 then bytes = 0 end
local size = #text + 256 -- and what the entry and its key take beside the jobs, roughly
if entries >= most_entries or bytes + size > most_bytes then return {'FULL', entries, bytes} end
-- Redis refuses a full memory at the first of these, so never half of them.
id = redis.call('XADD', jobs, '*', 'key', key, 'digest', digest, 'size', size, 'seal', seal, 'jobs', text)
redis.call('HSET', keys, key, digest .. ':' .. id)
redis.call('HSET', meta, 'bytes', bytes + size)
return {'OK', entries + 1, bytes + size}
