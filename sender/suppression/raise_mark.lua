-- Keeps a high-water mark unless a higher one is kept, and tells the one kept now.
--
-- KEYS[1]  the mark's key, a hash
-- ARGV[1]  era
-- ARGV[2]  seq
-- ARGV[3]  timeline, or an empty string where it is not known
--
-- Returns {era, seq, timeline} as kept now. Both numbers are below 2^53, exact in Lua's doubles. A
-- kept mark that makes no sense counts as none: whoever raises has compared before.

local era, seq = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'era', 'seq', 'timeline')
local kept_era, kept_seq = tonumber(kept[1] or ''), tonumber(kept[2] or '')
if kept_era and kept_seq and (kept_era > era or (kept_era == era and kept_seq >= seq)) then
    return {kept[1], kept[2], kept[3] or ''}
end
redis.call('HSET', KEYS[1], 'era', ARGV[1], 'seq', ARGV[2], 'timeline', ARGV[3])
return {ARGV[1], ARGV[2], ARGV[3]}
