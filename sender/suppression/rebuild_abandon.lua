-- Withdraws a rebuild that failed, so that the next need not wait for its lease.
--
-- KEYS[1]  pointer key of the scope
-- ARGV[1]  the rebuild's generation
--
-- Returns 1 when nobody uses the generation (any more) and its keys can go; 0 when it is in force:
-- the switch was done and only its answer was lost. Another rebuild's generation is left alone.

local pointer = redis.call('HMGET', KEYS[1], 'generation', 'next_generation')
if pointer[1] == ARGV[1] then return 0 end
if pointer[2] == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'next_generation', 'next_buckets', 'next_lease')
end
return 1
