-- Gives a worker as many due jobs as it has free slots, under a lease.
--
-- A claimed job's score moves to the end of the lease: it leaves the head of its lane, and comes back by itself when
-- its worker dies. Half a millisecond marks such a score, so that a lapsed lease is told from a job that waits; three
-- quarters mark one that has lapsed and was put back. Jobs that a plain arq worker holds stay where they are and are
-- paged past.
--
-- KEYS  the lanes, in the order in which they are served
-- ARGV  1 token  2 lease in ms  3 free slots  4 '1': leave lapsed leases alone
--       5 when the worker began to ask, by this clock, in ms: if that is long ago Redis has stood still, and whoever
--         holds a lease is about to renew it, so lapsed leases are left alone, too
--       6 how many of the slots go to the jobs that have been due longest, in whatever lane: nobody waits for ever
--       7 '', or, as MessagePack, what is kept free for some queues: {slots for any queue, the number of each lane's
--         queue, the slots of each queue}
-- Gives the time in ms, the ms until the next job is due (-1: there may be more that is due; -2: there is none), and
--       the jobs as a flat list: id, payload (nil: it is gone), number of this start, how many of its workers were
--       lost, when it was due, number of its lane, what is special ('': nothing, 'lapsed': its lease was not kept up,
--       'aborted': it is not to be run, 'expired': it has not started in time, a number: until when it had to start, in ms)
--
-- The first write is one that a full Redis accepts, and so are all that come after: only workers can empty it.
for _, lane in ipairs(KEYS) do
    redis.call('DEL', WAKE .. queue_of(lane)) -- what it told of is claimed now, or told again below
end
local SLOW = 1000
local SOON = math.min(5000, ARGV[2] / 3) -- in ms; what is due later, others find with their next sign of life
local PAGE = 500 -- what Lua can pass on in one call is limited
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_end = now + ARGV[2] + 0.5
local due_now = now + 0.25 -- with the mark of those that expire
local slots, aged = tonumber(ARGV[3]), tonumber(ARGV[6])
local spare = ARGV[4] == '1' or now - ARGV[5] > SLOW
local shared, queues, kept = unpack(ARGV[7] ~= '' and cmsgpack.unpack(ARGV[7]) or {})
local aborts = redis.call('EXISTS', ABORTS) == 1
local jobs, started = {}, {}
local open, offsets = {}, {} -- the lanes that are served, and how many due jobs of each are to be paged past

local paused = {}
for _, queue in ipairs(redis.call('SMEMBERS', PAUSED)) do
    paused[queue] = true
end
for number, lane in ipairs(KEYS) do
    if not paused[queue_of(lane)] then
        open[#open + 1] = number
        offsets[number] = 0
    end
end

-- Gives when the first job of this lane was due, after so many others; nil: none is due, and then when the first will be.
local function head(number, offset)
    local first = tonumber(redis.call('ZRANGE', KEYS[number], offset, offset, 'WITHSCORES')[2])
    if first and first > due_now then
        return nil, first
    end
    return first
end

-- Gives how many jobs may be taken from this lane.
local function room(number)
    return shared and math.min(slots, shared + kept[queues[number]]) or slots
end

local function fill(number, count)
    slots = slots - count
    if shared then
        local queue = queues[number]
        local own = math.min(count, kept[queue])
        kept[queue], shared = kept[queue] - own, shared - count + own
    end
end

-- Starts a job that nobody has.
local function start(id, payload, due, number)
    local mark = string.match(due, '%..*')
    local lapsed = mark == '.5'
    local attempt, losses, special = redis.call('INCR', TRIES .. id), 0, ''
    redis.call('SET', CLAIMS .. id, ARGV[1] .. ':' .. attempt .. ':' .. now, 'PX', ARGV[2])
    if lapsed then
        losses, special = redis.call('INCR', LOST .. id), 'lapsed'
        log(id, cjson.encode({ outcome = 'lost', finished = now }))
    elseif attempt > 1 then
        losses = tonumber(redis.call('GET', LOST .. id) or 0)
    end
    if mark == '.75' then
        special = 'lapsed'
    end
    if not payload then -- the copy stays until it is recorded that the job has expired
        payload, special = redis.call('GET', EXPIRING .. id), 'expired'
    elseif mark == '.25' then
        special = string.format('%.0f', redis.call('PEXPIRETIME', PAYLOADS .. id))
        redis.call('PERSIST', PAYLOADS .. id) -- it expires only where it has not started in time
        redis.call('DEL', EXPIRING .. id)
    end
    if aborts and redis.call('ZSCORE', ABORTS, id) then -- the wish stays until the end is recorded
        special = 'aborted'
    end
    started[#started + 1] = id
    local last = #jobs
    jobs[last + 1], jobs[last + 2], jobs[last + 3], jobs[last + 4] = id, payload, attempt, losses
    jobs[last + 5], jobs[last + 6], jobs[last + 7] = math.floor(due), number, special
end

-- Takes up to so many due jobs from a lane, and gives how many these are.
local function take(number, wanted)
    local lane, left = KEYS[number], wanted
    while left > 0 do
        local page =
            redis.call('ZRANGEBYSCORE', lane, '-inf', due_now, 'WITHSCORES', 'LIMIT', offsets[number], math.min(left, PAGE))
        if #page == 0 then
            break
        end
        local claims, payloads = {}, {}
        for i = 1, #page, 2 do
            claims[#claims + 1] = CLAIMS .. page[i]
            payloads[#payloads + 1] = PAYLOADS .. page[i]
        end
        local held = redis.call('MGET', unpack(claims))
        payloads = redis.call('MGET', unpack(payloads))
        local moved = {}
        for i, holder in ipairs(held) do
            local id, due = page[2 * i - 1], page[2 * i]
            if holder or (spare and string.match(due, '%.5$')) then
                offsets[number] = offsets[number] + 1
            else
                start(id, payloads[i], due, number)
                moved[#moved + 1] = lease_end
                moved[#moved + 1] = id
            end
        end
        if #moved > 0 then
            redis.call('ZADD', lane, 'XX', unpack(moved))
            left = left - #moved / 2
        end
    end
    fill(number, wanted - left)
    return wanted - left
end

local busy, heads, later = {}, {}, {} -- the last: of the other lanes, when they will have something; false: never
for _, number in ipairs(open) do
    local due, first = head(number, 0)
    if not due then
        later[number] = first or false
    else
        heads[number] = due
        busy[#busy + 1] = number
    end
end
if #busy == 1 then -- as nearly always
    take(busy[1], room(busy[1]))
else
    local left = slots - aged
    for _, number in ipairs(busy) do
        left = left - take(number, math.min(left, room(number)))
        heads[number] = head(number, offsets[number])
    end
    while slots > 0 do
        local oldest
        for _, number in ipairs(busy) do
            if heads[number] and room(number) > 0 and (not oldest or heads[number] < heads[oldest]) then
                oldest = number
            end
        end
        if not oldest then
            break
        end
        take(oldest, 1)
        heads[oldest] = head(oldest, offsets[oldest])
    end
end
tell('running', started)
local wait = -2
for _, number in ipairs(open) do
    local due, first = nil, later[number]
    if first == nil then
        due, first = head(number, 0)
    end
    if room(number) <= 0 and due then
        wake(KEYS[number]) -- for a worker that could take it
        if slots == 0 then
            wait = -1
        end
    else
        if due then -- others have it
            first = redis.call('ZRANGEBYSCORE', KEYS[number], '(' .. due_now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
        end
        if first and slots == 0 and first - now < SOON then
            wake(KEYS[number]) -- for a worker that will be free by then: this one may not be
        end
        if first and wait ~= -1 and (wait == -2 or first - now < wait) then
            wait = math.ceil(first - now)
        end
    end
end
return { now, wait, jobs }
