-- member: the attempt an envelope stands for, as leases has it; nil when the
-- envelope is none (somebody pushed it by hand).
local function member(envelope)
  local id, dispatch_id = string.match(envelope, '^{"id":(%d+),"dispatch_id":(%d+)')
  return id and id .. ':' .. dispatch_id
end
