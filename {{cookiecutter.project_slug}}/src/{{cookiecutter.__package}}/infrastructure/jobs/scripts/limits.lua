-- What the limit of a task asks of every script that starts or ends its jobs. For each such task, by its name:
--
-- LIMITS   hash: concurrency (jobs at once; 0: any number), jobs (that may start within any span of `per`; 0: any
--          number), per (µs), starts (the number of the last one)
-- STARTS   sorted set: the numbers of the starts that still count, by when they were (in µs)
-- PLACES   set: the jobs that count as running
-- PARKED   sorted set: the jobs that wait outside their queues, in the order of their turns, see `place_in_line`
-- HOMES    hash: the lanes of those, and of those that have their turn
-- TURNS    sorted set: the jobs that were parked and are back in their queues to be started, by when their turn came
--
-- And for each lane:
--
-- OUTSIDE  sorted set: the jobs that are parked from it, by when they were due, with the marks of a score

local function microseconds()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

-- Takes note of the limits as the caller knows them.
local function set_limit(task, concurrency, jobs, per)
    redis.call('HSET', LIMITS .. task, 'concurrency', concurrency, 'jobs', jobs, 'per', per)
end

-- Gives how many places are free, how many tokens there are, and when the next one comes (in µs; 0: there is one).
-- There are as many tokens as jobs may start within a span. Each start takes one, which comes back a span later.
local function capacity(task, now)
    local limit = redis.call('HMGET', LIMITS .. task, 'concurrency', 'jobs', 'per')
    local concurrency, jobs, per = tonumber(limit[1] or 0), tonumber(limit[2] or 0), tonumber(limit[3] or 0)
    local places, tokens, token_at = math.huge, math.huge, 0
    if concurrency > 0 then
        places = concurrency - redis.call('SCARD', PLACES .. task)
    end
    if jobs > 0 then
        redis.call('ZREMRANGEBYSCORE', STARTS .. task, '-inf', now - per)
        local taken = redis.call('ZCARD', STARTS .. task)
        tokens = math.max(0, jobs - taken)
        if tokens == 0 then -- where the limit was lowered, more than one may have to come back first
            token_at = redis.call('ZRANGE', STARTS .. task, taken - jobs, taken - jobs, 'WITHSCORES')[2] + per
        end
    end
    return places, tokens, token_at
end

-- Takes a token for a start; nobody gives it back.
local function take_token(task, now)
    local number = redis.call('HINCRBY', LIMITS .. task, 'starts', 1)
    redis.call('ZADD', STARTS .. task, now, number)
    redis.call('PEXPIREAT', STARTS .. task, math.ceil((now + redis.call('HGET', LIMITS .. task, 'per')) / 1000))
end

-- Tells where a job stands among those that are parked: a point of priority counts as ten minutes of waiting, so whoever
-- waits for long enough is the first.
local function place_in_line(lane, due)
    return due - ((string.match(lane, '@(%d+)$') or 5) - 5) * 600000
end

-- Takes a job out of the line, if it is there.
local function unpark(task, id)
    if redis.call('ZREM', PARKED .. task, id) == 1 then
        redis.call('ZREM', OUTSIDE .. (redis.call('HGET', HOMES .. task, id) or ''), id)
    end
end

-- Puts as many parked jobs into their queues as could start now, the first in line first. Where only tokens are lacking it is
-- one, which is due when there is a token.
local function promote(task)
    if redis.call('EXISTS', PARKED .. task) == 0 then
        return
    end
    local now = microseconds()
    local places, tokens, token_at = capacity(task, now)
    local turns = redis.call('ZCARD', TURNS .. task)
    local room, later = math.min(places, tokens) - turns, nil
    if tokens == 0 and places > 0 and turns == 0 then
        room, later = 1, math.ceil(token_at / 1000)
    end
    local steps = 500 -- no call may keep Redis for long; the sweep goes on
    while room > 0 and steps > 0 do
        local id = redis.call('ZPOPMIN', PARKED .. task)[1]
        if not id then
            return
        end
        steps = steps - 1
        local queue = redis.call('HGET', HOMES .. task, id)
        local due = redis.call('ZSCORE', OUTSIDE .. queue, id) or math.floor(now / 1000)
        redis.call('ZREM', OUTSIDE .. queue, id)
        local there = redis.call('EXISTS', PAYLOADS .. id) == 1
        if there or redis.call('EXISTS', RESULTS .. id) == 0 then -- else it has ended otherwise
            redis.call('ZADD', queue, 'NX', later and later + due % 1 or due, id)
            wake(queue)
        end
        if there then
            redis.call('ZADD', TURNS .. task, later or math.floor(now / 1000), id)
            room = room - 1
        else -- it has expired, and a worker will say so
            redis.call('HDEL', HOMES .. task, id)
        end
    end
end

-- Takes the place of a job that runs no longer, and lets the next one have it.
local function release(task, id)
    redis.call('SREM', PLACES .. task, id)
    promote(task)
end

-- The same for a job that has ended, wherever it stands.
local function forget(task, id)
    unpark(task, id)
    redis.call('ZREM', TURNS .. task, id)
    redis.call('HDEL', HOMES .. task, id)
    release(task, id)
end

-- Takes the places of jobs that were ended by somebody who knows of no limits, such as a plain arq worker.
local function purge(task)
    for _, id in ipairs(redis.call('SMEMBERS', PLACES .. task)) do
        if redis.call('EXISTS', PAYLOADS .. id) == 0 then
            redis.call('SREM', PLACES .. task, id)
        end
    end
end
