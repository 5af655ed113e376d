-- Adds numbers to a scope's set or removes them from it.
--
-- KEYS[1]    pointer key of the scope
-- ARGV[1]    SADD or SREM
-- ARGV[2..]  E.164 digits
--
-- Returns the number of generations written to: 0 when the scope was never built here (there is
-- nothing to write to: it is cold, and a rebuild will read the same fact from Postgres), 2 while a
-- rebuild is under way, else 1.
--
-- Reading the pointer and writing are one atomic step, so no write can fall between two
-- generations. The sentinel is never written here: a bucket that was lost stays cold.

local function write(generation, buckets)
  if not generation or not buckets then return 0 end
  buckets = tonumber(buckets)
  for i = 2, #ARGV do
    local number = tonumber(ARGV[i])
    local bucket = number % buckets
    redis.call(ARGV[1], string.format('%s:%s:%.0f', KEYS[1], generation, bucket),
      string.format('%.0f', (number - bucket) / buckets))
  end
  return 1
end

local pointer = redis.call('HMGET', KEYS[1],
  'generation', 'buckets', 'next_generation', 'next_buckets')
return write(pointer[1], pointer[2]) + write(pointer[3], pointer[4])
