-- Renews a rebuild's lease, if its generation is still the next one.
--
-- KEYS[1]  pointer key of the scope
-- ARGV[1]  the rebuild's generation
-- ARGV[2]  lease in milliseconds
--
-- Returns 1, or 0 when the rebuild was superseded or its pointer flushed. A lease that ran out
-- without anybody taking over is simply taken up again: the generation fences, not the clock.

if redis.call('HGET', KEYS[1], 'next_generation') ~= ARGV[1] then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], 'next_lease', string.format('%.0f', now + tonumber(ARGV[2])))
return 1
