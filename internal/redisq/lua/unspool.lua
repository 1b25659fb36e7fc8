#!lua flags=allow-oom
-- unspool: take entries out of the spool; with a reason they are set aside for people to see.
-- KEYS  1 meta  2 jobs  3 keys  4 refused
-- ARGV  1 reason, or empty  2 most entries set aside  3 most bytes set aside  4.. ids
-- Returns {OK, entries removed}.
-- Re-sending is safe: an entry that is gone is passed over.
local meta, jobs, keys, refused = unpack(KEYS)
local reason, most, most_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local function set_aside(key, size, text)
  if redis.call('EXISTS', refused) == 0 then redis.call('HDEL', meta, 'refused_bytes') end -- somebody has read and deleted them
  redis.call('XADD', refused, '*', 'key', key, 'size', size, 'reason', reason, 'jobs', text)
  redis.call('HSETNX', keys, key, 'refused') -- not over the note of another entry with this key
  local bytes = redis.call('HINCRBY', meta, 'refused_bytes', size)
  while bytes > most_bytes or redis.call('XLEN', refused) > most do
    local old = redis.call('XRANGE', refused, '-', '+', 'COUNT', 1)[1]
    if not old then redis.call('HDEL', meta, 'refused_bytes') break end
    redis.call('XDEL', refused, old[1])
    if redis.call('HGET', keys, old[2][2]) == 'refused' then redis.call('HDEL', keys, old[2][2]) end
    bytes = redis.call('HINCRBY', meta, 'refused_bytes', -(tonumber(old[2][4]) or 0))
  end
end

local removed = 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local entry = redis.call('XRANGE', jobs, id, id)[1]
  if entry then
    local field = {}
    for n = 1, #entry[2] - 1, 2 do field[entry[2][n]] = entry[2][n + 1] end
    local key = field.key or ''
    removed = removed + redis.call('XDEL', jobs, id)
    local noted = redis.call('HGET', keys, key)
    if noted and string.sub(noted, -#id - 1) == ':' .. id then -- else somebody else put it there, and it was never counted
      redis.call('HDEL', keys, key)
      redis.call('HINCRBY', meta, 'bytes', -(tonumber(field.size) or 0))
    end
    if reason ~= '' then set_aside(key, 256 + #(field.jobs or ''), field.jobs or '') end
  end
end
return {'OK', removed}
