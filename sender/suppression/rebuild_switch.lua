-- Puts a filled generation in force, if it is still the next one.
--
-- KEYS[1]  pointer key of the scope
-- ARGV[1]  the rebuild's generation
--
-- Returns {1, old generation, old buckets} (0, 0 when there was none), or {0, 0, 0} when the
-- rebuild was superseded or its pointer flushed: then nothing changes.

local pointer = redis.call('HMGET', KEYS[1],
  'generation', 'buckets', 'next_generation', 'next_buckets')
if pointer[3] ~= ARGV[1] then return { 0, 0, 0 } end

redis.call('HSET', KEYS[1], 'generation', pointer[3], 'buckets', pointer[4])
redis.call('HDEL', KEYS[1], 'next_generation', 'next_buckets', 'next_lease')
if not pointer[1] then return { 1, 0, 0 } end
redis.call('HSET', KEYS[1], 'old_generation', pointer[1], 'old_buckets', pointer[2])
return { 1, tonumber(pointer[1]), tonumber(pointer[2]) }
