-- Returns tokens that were taken for messages which then did not go.
--
-- KEYS[1]  pacing key of the sender
-- ARGV[1]  microseconds to give back: segments times the interval they were taken at
--
-- A key that has expired is a full bucket already: nothing to do. A time before now is a full
-- bucket too (lookup.lua never counts from before now), so there is no lower bound to keep.

local stored = tonumber(redis.call('GET', KEYS[1]) or '')
if not stored then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', stored - tonumber(ARGV[1])), 'KEEPTTL')
return 1
