-- One window's check: which recipients are suppressed, and how many of the others may go now.
--
-- KEYS[1]     pacing key of the sender
-- KEYS[2]     pause key of the tenant
-- KEYS[3..]   pointer keys of every scope that covers the window (at least one)
-- ARGV[1]     microseconds one segment takes at the sender's rate
-- ARGV[2]     burst, in segments
-- ARGV[3]     JSON, because a client pays for every argument: [recipients, their segments], the
--             former by their E.164 digits as numbers
--
-- Returns {verdicts, admitted, wait, paused}:
--   verdicts  one letter a recipient: S suppressed, C clear, U cold (unknown here)
--   admitted  how many of those not suppressed, taken in order, got their tokens
--   wait      microseconds until the next of them is due; 0 when all were admitted
--   paused    1 when the account is left alone for now: nothing is admitted, tokens or not
--
-- Bucket keys are derived from the pointers here and not passed in: the pointer read and the
-- membership test are then one atomic step, and no client can hold a stale pointer (keys.py says
-- why this needs one server and not a cluster).

-- A message is at most 1600 characters: 24 segments of 67. Bounds what one admission can owe.
local LONGEST_MESSAGE = 24

-- A number in any one scope is suppressed; else unknown in any one scope is unknown.
local SUPPRESSED, CLEAR, COLD = 'S', 'C', 'U'

local FIRST_POINTER = 3

-- How an integer is written down. Lua's own conversion keeps 14 digits of it; the second is right
-- on every machine, and takes three times as long.
local format = string.format
local DIGITS = format('%d', 2 ^ 52) == '4503599627370496' and '%d' or '%.0f'

local function scopes_in_force()
  local scopes = {}
  for k = FIRST_POINTER, #KEYS do
    local pointer = redis.call('HMGET', KEYS[k], 'generation', 'buckets')
    if pointer[1] and pointer[2] then
      scopes[#scopes + 1] = {
        key = KEYS[k],
        generation = pointer[1],
        prefix = KEYS[k] .. ':' .. pointer[1] .. ':',
        sentinel = '-' .. pointer[1],
        buckets = tonumber(pointer[2]),
      }
    end
  end
  return scopes, #scopes == #KEYS - FIRST_POINTER + 1
end

-- A bucket was met that is not whole: the mirror looks for this field and rebuilds the scope. It
-- names the generation, so that what was met before a rebuild says nothing about the next one.
local function note_cold(scope)
  if not scope.noted then redis.call('HSET', scope.key, 'met_cold', scope.generation) end
  scope.noted = true
end

-- What each bucket of a scope is asked for, its sentinel first, and each number's bucket. A table
-- less for each number is worth more than a shorter script: nearly all are alone in theirs.
local function by_bucket(scope, numbers)
  local buckets, members, bucket_of = scope.buckets, {}, {}
  for place = 1, #numbers do
    local number = numbers[place]
    local n = number % buckets
    local member, others = format(DIGITS, (number - n) / buckets), members[n]
    if others then
      others[#others + 1] = member
    else
      members[n] = { scope.sentinel, member }
    end
    bucket_of[place] = n
  end
  return members, bucket_of
end

local function look_in(scope, numbers, verdicts)
  local members, bucket_of = by_bucket(scope, numbers)
  local found, read = {}, {}
  for n, asked in pairs(members) do
    found[n] = redis.call('SMISMEMBER', scope.prefix .. format(DIGITS, n), unpack(asked))
    read[n] = 1
    if found[n][1] ~= 1 then note_cold(scope) end
  end
  for place = 1, #numbers do
    local n = bucket_of[place]
    local answers, k = found[n], read[n] + 1
    read[n] = k
    if answers[k] == 1 then
      verdicts[place] = SUPPRESSED
    elseif answers[1] ~= 1 and verdicts[place] == CLEAR then
      verdicts[place] = COLD
    end
  end
end

local function verdicts_on(numbers)
  local scopes, all_built = scopes_in_force()
  local verdicts = {}
  for place = 1, #numbers do verdicts[place] = all_built and CLEAR or COLD end
  for _, scope in ipairs(scopes) do look_in(scope, numbers, verdicts) end
  return verdicts
end

-- The clock is the server's, so that all workers share one. What is stored is the time up to which
-- segments are spoken for (a "theoretical arrival time", GCRA). A stored time further ahead than
-- any debt can be means that the clock was set back: without the bound the sender would be silent
-- for as long.
local function spoken_for(now, interval, burst)
  local stored = tonumber(redis.call('GET', KEYS[1]) or '') or 0
  return math.max(now, math.min(stored, now + (burst + LONGEST_MESSAGE) * interval))
end

-- A message goes when *one* token is there and owes the rest, so that a long message is neither
-- stuck behind a small burst nor starved by short ones; the long-run rate is exact.
local function admit(waiting, interval, burst)
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  local horizon = now + (burst - 1) * interval
  local start = spoken_for(now, interval, burst)
  local until_time, admitted = start, 0
  for _, segments in ipairs(waiting) do
    if until_time > horizon then break end
    until_time = until_time + segments * interval
    admitted = admitted + 1
  end
  if admitted > 0 then
    -- '%.0f': Lua's own conversion keeps 14 digits and would round the time to a tenth of a second.
    redis.call('SET', KEYS[1], format('%.0f', until_time),
      'PX', format('%.0f', math.ceil((until_time - now) / 1000) + 1))
  end
  local wait = admitted < #waiting and math.ceil(until_time - horizon) or 0
  return admitted, wait
end

-- Microseconds for which nothing of the account may be begun; 0 without a pause.
local function pause_left()
  return math.max(0, redis.call('PTTL', KEYS[2])) * 1000
end

local asked = cjson.decode(ARGV[3])
local numbers, sizes = asked[1], asked[2]
local verdicts, waiting = verdicts_on(numbers), {}
for place, answer in ipairs(verdicts) do
  if answer ~= SUPPRESSED then waiting[#waiting + 1] = sizes[place] end
end
local pause = pause_left()
if pause > 0 then return { table.concat(verdicts), 0, #waiting > 0 and pause or 0, 1 } end
local admitted, wait = admit(waiting, tonumber(ARGV[1]), tonumber(ARGV[2]))
return { table.concat(verdicts), admitted, wait, 0 }
