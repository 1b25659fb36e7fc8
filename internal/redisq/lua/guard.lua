-- guard: what every changing script does first. The window belongs to one epoch
-- and to one Redis process; the process is asked here, in the script, because a
-- run id that a client sends along can be older than its connection.
local meta, epoch = KEYS[1], ARGV[1]
local held, life, seq, paused = unpack(redis.call('HMGET', meta, 'epoch', 'life', 'seq', 'paused'))
if held ~= epoch or life ~= string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') then
  return {'STALE', held or '0'}
end
