-- forget: removes noted batches from ARGV[first] on; slices keep unpack small.
local function forget(batches, first, last)
  for i = first, last, 1000 do
    redis.call('HDEL', batches, unpack(ARGV, i, math.min(i + 999, last)))
  end
end
