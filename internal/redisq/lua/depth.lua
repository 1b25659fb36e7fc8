-- depth: how many undelivered jobs the three bands hold.
local function depth(high, normal, low)
  return redis.call('LLEN', high) + redis.call('LLEN', normal) + redis.call('LLEN', low)
end
