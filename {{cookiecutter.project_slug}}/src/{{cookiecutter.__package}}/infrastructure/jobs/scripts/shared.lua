-- What several scripts do.

local KEPT = 604800000 -- ms for which it is known what an expired job was: a week

-- Tells whether the claim is the caller's: of this worker (token), for this start of the job (stamp).
local function holds(claim, token, stamp)
    return claim == token .. ':' .. stamp
end

-- Every claim counts a start, so an unchanged number says that nobody has claimed the job since.
local function unclaimed_since(id, stamp)
    local starts = redis.call('GET', TRIES .. id)
    return starts and string.match(stamp, '%d+') == starts
end

-- Tells whether the lease of this start has lapsed, and nobody has claimed the job since, nor put it back: its score is
-- still the end of a lease.
local function lapsed_since(queue, id, stamp)
    return unclaimed_since(id, stamp) and string.match(redis.call('ZSCORE', queue, id) or '', '%.5$')
end

-- Tells those who listen that these jobs are in this state now.
local function tell(status, ids)
    if #ids > 0 and redis.call('PUBSUB', 'NUMSUB', EVENTS)[2] > 0 then
        redis.call('PUBLISH', EVENTS, cjson.encode({ [status] = ids }))
    end
end

-- Remembers how a start of the job ended that was not its last; only the latest hundred are kept.
local function log(id, entry)
    redis.call('RPUSH', ATTEMPTS .. id, entry)
    redis.call('LTRIM', ATTEMPTS .. id, -100, -1)
    redis.call('PEXPIRE', ATTEMPTS .. id, 2592000000) -- 30 days
end

-- Keeps what is known of a job that has failed, and how its starts ended, apart from its result and its id.
local function bury(id, result, time)
    local attempts = redis.call('LRANGE', ATTEMPTS .. id, 0, -1)
    redis.call('DEL', DEAD_ATTEMPTS .. id)
    if #attempts > 0 then
        redis.call('RPUSH', DEAD_ATTEMPTS .. id, unpack(attempts))
    end
    redis.call('SET', DEAD_LETTERS .. id, result)
    redis.call('ZADD', DEAD, time, id)
end

-- Forgets a dead letter.
local function unbury(id)
    redis.call('DEL', DEAD_LETTERS .. id, DEAD_ATTEMPTS .. id)
    redis.call('ZREM', DEAD, id)
end

-- Keeps what is known of earlier starts for so many ms; 0: for ever, -1: not at all.
local function keep_attempts(id, ms)
    if ms > 0 then
        redis.call('PEXPIRE', ATTEMPTS .. id, ms)
    elseif ms == 0 then
        redis.call('PERSIST', ATTEMPTS .. id)
    else
        redis.call('DEL', ATTEMPTS .. id)
    end
end

-- Gives the key of the queue, that of its lane of normal priority, for any of its lanes.
local function queue_of(lane)
    return (string.gsub(lane, '@%d+$', ''))
end

-- Remembers a lane that has jobs; one that is new is told to those who serve all.
local function know(lane)
    if redis.call('SADD', QUEUES, lane) == 1 then
        redis.call('PUBLISH', QUEUES, lane)
    end
end

-- Wakes a worker; one token is enough: whoever takes it leaves another when there is more to do.
local function wake(lane)
    local token = WAKE .. queue_of(lane)
    if redis.call('LLEN', token) == 0 then
        redis.call('LPUSH', token, '1')
    end
end

-- Gives the job that has this lock, see enqueue.lua; false: none has; a table: Redis refuses to tell.
local function holder_of(lock)
    local id = redis.pcall('GET', lock[1])
    if not id or type(id) == 'table' or lock[2] == 'period' or lock[2] == 'key' then
        return id
    end
    local pending = lock[2] == 'unfinished' or tonumber(redis.call('GET', TRIES .. id) or 0) == 0
    return pending and redis.call('EXISTS', PAYLOADS .. id) == 1 and id
end

-- Stores a value for so many ms; 0: for ever.
local function keep(key, value, ms)
    if ms > 0 then
        redis.call('SET', key, value, 'PX', ms)
    else
        redis.call('SET', key, value)
    end
end

-- Tells whether there may be no other job of this id.
local function taken(id)
    if redis.call('EXISTS', PAYLOADS .. id, CLAIMS .. id, EXPIRING .. id) > 0 then -- the last: a worker is to record it
        return true
    end
    return redis.call('EXISTS', RESULTS .. id) == 1 and redis.call('EXISTS', CANCELLED .. id) == 0
end

-- Forgets what is left of a job that had this id before.
local function clean(id)
    redis.call('ZREM', ABORTS, id)
    redis.call('DEL', TRIES .. id, LOST .. id, UNKNOWN .. id, RESULTS .. id, CANCELLED .. id)
    redis.call('DEL', ATTEMPTS .. id, PROGRESS .. id)
end
