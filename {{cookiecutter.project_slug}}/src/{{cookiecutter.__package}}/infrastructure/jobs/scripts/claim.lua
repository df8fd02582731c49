-- Gives a worker as many due jobs as it has free slots, under a lease.
--
-- A claimed job's score moves to the end of the lease: it leaves the head of the queue, and comes back by itself when
-- its worker dies. Half a millisecond marks such a score, so that a lapsed lease is told from a job that waits; three
-- quarters mark one that has lapsed and was put back. Jobs that a plain arq worker holds stay where they are and are
-- paged past.
--
-- KEYS  the queues, in the order in which they are served
-- ARGV  1 token  2 lease in ms  3 free slots  4 '1': leave lapsed leases alone
--       5 when the worker began to ask, by this clock, in ms: if that is long ago Redis has stood still, and whoever
--         holds a lease is about to renew it, so lapsed leases are left alone, too
-- Gives the time in ms, the ms until the next job is due (-1: there may be more that is due; -2: there is none), and
--       the jobs as a flat list: id, payload (nil: it is gone), number of this start, how many of its workers were
--       lost, when it was due, number of its queue, what is special ('': nothing, 'lapsed': its lease was not kept up,
--       'aborted': it is not to be run, 'expired': it has not started in time, a number: until when it had to start, in ms)
--
-- The first write is one that a full Redis accepts, and so are all that follow: only workers can empty it.
for _, queue in ipairs(KEYS) do
    redis.call('DEL', WAKE .. queue) -- what it told of is claimed now, or told again below
end
local SLOW = 1000
local PAGE = 500 -- what Lua can pass on in one call is limited
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_end = now + ARGV[2] + 0.5
local due_now = now + 0.25 -- with the mark of those that expire
local slots = tonumber(ARGV[3])
local spare = ARGV[4] == '1' or now - ARGV[5] > SLOW
local aborts = redis.call('EXISTS', ABORTS) == 1
local jobs, started = {}, {}
for number, queue in ipairs(KEYS) do
    local offset = 0
    while slots > 0 do
        local page = redis.call('ZRANGEBYSCORE', queue, '-inf', due_now, 'WITHSCORES', 'LIMIT', offset, math.min(slots, PAGE))
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
            local mark = string.match(due, '%..*')
            local lapsed = mark == '.5'
            if holder or (lapsed and spare) then
                offset = offset + 1
            else
                local attempt, losses, special = redis.call('INCR', TRIES .. id), 0, ''
                redis.call('SET', claims[i], ARGV[1] .. ':' .. attempt .. ':' .. now, 'PX', ARGV[2])
                if lapsed then
                    losses, special = redis.call('INCR', LOST .. id), 'lapsed'
                    log(id, cjson.encode({ outcome = 'lost', finished = now }))
                elseif attempt > 1 then
                    losses = tonumber(redis.call('GET', LOST .. id) or 0)
                end
                if mark == '.75' then
                    special = 'lapsed'
                end
                if not payloads[i] then -- the copy stays until it is recorded that the job has expired
                    payloads[i], special = redis.call('GET', EXPIRING .. id), 'expired'
                elseif mark == '.25' then
                    special = string.format('%.0f', redis.call('PEXPIRETIME', PAYLOADS .. id))
                    redis.call('PERSIST', PAYLOADS .. id) -- it expires only where it has not started in time
                    redis.call('DEL', EXPIRING .. id)
                end
                if aborts and redis.call('ZREM', ABORTS, id) == 1 then
                    special = 'aborted'
                end
                moved[#moved + 1] = lease_end
                moved[#moved + 1] = id
                started[#started + 1] = id
                local last = #jobs
                jobs[last + 1], jobs[last + 2], jobs[last + 3], jobs[last + 4] = id, payloads[i], attempt, losses
                jobs[last + 5], jobs[last + 6], jobs[last + 7] = math.floor(due), number, special
            end
        end
        if #moved > 0 then
            redis.call('ZADD', queue, 'XX', unpack(moved))
            slots = slots - #moved / 2
        end
    end
end
tell('running', started)
local wait = -2
for _, queue in ipairs(KEYS) do
    if slots == 0 and #redis.call('ZRANGEBYSCORE', queue, '-inf', due_now, 'LIMIT', 0, 1) > 0 then
        wait = -1
        redis.call('LPUSH', WAKE .. queue, '1') -- for a worker that has slots left
    else
        local first = redis.call('ZRANGEBYSCORE', queue, '(' .. due_now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
        if first and (wait == -2 or first - now < wait) then
            wait = math.ceil(first - now)
        end
    end
end
return { now, wait, jobs }
