-- Has nobody begin anything of an account for a while; never shortens a pause.
--
-- KEYS[1]  pause key of the tenant
-- ARGV[1]  milliseconds from now

local left, wanted = redis.call('PTTL', KEYS[1]), tonumber(ARGV[1])
if left >= wanted then return 0 end
redis.call('SET', KEYS[1], '1', 'PX', string.format('%.0f', wanted))
return 1
