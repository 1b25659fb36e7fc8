#!lua flags=no-writes
-- peek: read the oldest entries of the spool, as far as they are young enough to be inserted.
-- KEYS  1 meta  2 jobs  3 refused
-- ARGV  1 id to read behind, or empty  2 most entries  3 most bytes  4 life of an entry (ms)
-- Returns {OK, entries, bytes, refused, age of the oldest (ms), list of {id, fields}}.
-- Re-sending is safe: it changes nothing.
--#include clock
local meta, jobs, refused = unpack(KEYS)
local after, most, room, life = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local page, age = {}, 0
local from = '-'
local oldest = redis.call('XRANGE', jobs, '-', '+', 'COUNT', 1)[1]
if oldest then
  age = math.max(0, now - tonumber(string.match(oldest[1], '^%d+')))
  if age > life then from = string.format('%d', now - life) end
end
if after ~= '' then from = '(' .. after end
while oldest and #page < most and room > 0 do
  local entry = redis.call('XRANGE', jobs, from, '+', 'COUNT', 1)[1] -- one by one: an entry may have megabytes
  if not entry then break end
  page[#page + 1], from = entry, '(' .. entry[1]
  for _, word in ipairs(entry[2]) do room = room - #word end
end
return {'OK', redis.call('XLEN', jobs), tonumber(redis.call('HGET', meta, 'bytes') or '0'), redis.call('XLEN', refused), age, page}
