-- Opens the next generation of a scope, unless another rebuild of it is under way.
--
-- KEYS[1]  pointer key of the scope
-- ARGV[1]  bucket count of the next generation
-- ARGV[2]  floor: the new generation is greater (keeps generations rising across a flush)
-- ARGV[3]  lease in milliseconds, renewed by rebuild_renew.lua
--
-- Returns {generation, leftovers}: the new generation, and pairs {generation, buckets} whose keys
-- the caller removes (a rebuild that died, the generation the last one replaced). {0, {}} when
-- another rebuild holds the lease.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local pointer = redis.call('HMGET', KEYS[1],
  'generation', 'next_generation', 'next_buckets', 'next_lease', 'old_generation', 'old_buckets')

if pointer[2] and now < tonumber(pointer[4]) then return { 0, {} } end

local leftovers = {}
if pointer[2] then leftovers[#leftovers + 1] = { tonumber(pointer[2]), tonumber(pointer[3]) } end
if pointer[5] then leftovers[#leftovers + 1] = { tonumber(pointer[5]), tonumber(pointer[6]) } end

local generation = 1 + math.max(
  tonumber(pointer[1] or 0), tonumber(pointer[2] or 0), tonumber(ARGV[2]))
redis.call('HSET', KEYS[1],
  'next_generation', string.format('%.0f', generation),
  'next_buckets', ARGV[1],
  'next_lease', string.format('%.0f', now + tonumber(ARGV[3])))
return { generation, leftovers }
