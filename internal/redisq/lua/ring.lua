-- ring: brings the bell to one token per waiting job, at most 64.
local function ring(bell, waiting)
  local tokens = {}
  for i = 1, math.min(waiting, 64) - redis.call('LLEN', bell) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', bell, unpack(tokens)) end
end
