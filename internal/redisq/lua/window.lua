-- window: the counts of one queue's window, as job.Window has them.
local function window(meta, high, normal, low, leases, lost)
  local at = redis.call('HMGET', meta, 'epoch', 'seq', 'paused')
  local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
  return {'OK', at[1] or '0', at[2] or '0', at[3] or '0',
    redis.call('LLEN', high), redis.call('LLEN', normal), redis.call('LLEN', low),
    redis.call('ZCARD', leases), redis.call('ZCARD', lost), first[2] or '0', now}
end
