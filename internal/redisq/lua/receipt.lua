-- receipt: what a worker's last take handed over, so that a lost reply can be given
-- again. It is not replicated nor written to the AOF: whoever starts from those is
-- another life, to which no token means anything. (Packed into one hash field it is
-- the cheapest copy of seven that were measured.)
local function note(receipt, token, envelopes, life)
  redis.set_repl(redis.REPL_NONE)
  redis.call('HSET', receipt, 'token', token, 'jobs', cmsgpack.pack(envelopes))
  redis.call('PEXPIRE', receipt, life)
  redis.set_repl(redis.REPL_ALL)
end

local function answered(receipt, token, leases, deadline)
  if redis.call('HGET', receipt, 'token') ~= token then return nil end
  local envelopes = cmsgpack.unpack(redis.call('HGET', receipt, 'jobs'))
  local still, members = {}, {}
  for i, envelope in ipairs(envelopes) do members[i] = member(envelope) end
  for i, score in ipairs(redis.call('ZMSCORE', leases, unpack(members))) do
    if score then
      still[#still + 1] = envelopes[i]
      redis.call('ZADD', leases, 'XX', deadline, members[i])
    end
  end
  return still
end
