-- clock: Redis' time in ms since 1970, the only clock of leases and deadlines.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
