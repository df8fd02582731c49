-- Counts the jobs of lanes.
--
-- KEYS  lanes
-- ARGV  1 '1': all other lanes that have had jobs, too  2 ms that a lease lasts at most
-- Gives the time in ms, the queues that are paused, and for each lane a list of: its key, how many jobs are due, how many
--       are not yet, how many run, how many are parked from it, and when the first of those that are due or parked was,
--       in ms ('': there is none); and for each of their queues a list of: its key, how many of its jobs have ended in the
--       span of the statistics that is under way, and in the one before.
--
-- It changes nothing. Its cost does not grow with the jobs that are due, but with those that run or become due within
-- that longest lease: which of them run, only the mark of their scores tells.
local PAGE = 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due_now = now + 0.25 -- as for the claim

local function count_leases(lane, due)
    local last = redis.call('ZCOUNT', lane, '-inf', now + ARGV[2] + 1) - 1
    local count = 0
    for first = due, last, PAGE do
        local page = redis.call('ZRANGE', lane, first, math.min(first + PAGE - 1, last), 'WITHSCORES')
        for i = 2, #page, 2 do
            if string.sub(page[i], -2) == '.5' then
                count = count + 1
            end
        end
    end
    return count
end

-- Gives the score of the first entry, as Redis writes it.
local function first_of(key)
    return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
end

local lanes, known = {}, {}
local function add(names)
    for _, lane in ipairs(names) do
        if not known[lane] then
            known[lane] = true
            lanes[#lanes + 1] = lane
        end
    end
end
add(KEYS)
if ARGV[1] == '1' then
    add(redis.call('SMEMBERS', QUEUES))
end

local counts, ended = {}, {}
local this, last = span(MINUTES, tonumber(time[1])), span(MINUTES, time[1] - MINUTES)
for number, lane in ipairs(lanes) do
    local due = redis.call('ZCOUNT', lane, '-inf', due_now)
    local running = count_leases(lane, due)
    local parked = redis.call('ZCARD', OUTSIDE .. lane)
    local first = due > 0 and first_of(lane)
    local outside = first_of(OUTSIDE .. lane)
    if outside and (not first or tonumber(outside) < tonumber(first)) then
        first = outside
    end
    counts[number] = { lane, due, redis.call('ZCARD', lane) - due - running, running, parked, first or '' }
    local queue = queue_of(lane)
    if not ended[queue] then
        local field = 'queue:' .. queue
        ended[queue] = true
        ended[#ended + 1] = { queue, redis.call('HGET', this, field) or 0, redis.call('HGET', last, field) or 0 }
    end
end
return { now, redis.call('SMEMBERS', PAUSED), counts, ended }
