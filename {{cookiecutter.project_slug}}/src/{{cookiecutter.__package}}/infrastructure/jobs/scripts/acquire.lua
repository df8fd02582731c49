-- Lets claimed jobs of tasks with limits start, or parks them: then nobody has them, and that cost them nothing.
--
-- ARGV  1 token
--       2 MessagePack: a list of {id, queue, stamp of the claim, when it was due, in ms, what is special (see claim.lua),
--         task, concurrency, jobs, per (see limits.lua)}
-- Gives for each job 1, or 0 when it is parked, or its lease is lost.

-- A job that was parked has its turn when it is claimed again. Any other waits behind those that are parked or have
-- their turn, even if there is room; but one that lost its worker was there first.
local function may_start(id, task, concurrency, jobs, restarts)
    local has_turn = redis.call('ZREM', TURNS .. task, id) == 1
    local now = microseconds()
    local waiting = redis.call('ZCARD', PARKED .. task)
    local places, tokens = capacity(task, now)
    if places <= 0 and waiting == 0 then
        purge(task)
        places = capacity(task, now)
    end
    local room = math.min(places, tokens)
    if not restarts and not has_turn then
        room = waiting == 0 and room - redis.call('ZCARD', TURNS .. task) or 0
    end
    if room <= 0 then
        return false
    end
    if concurrency > 0 then
        redis.call('SADD', PLACES .. task, id)
    end
    if jobs > 0 then
        take_token(task, now)
    end
    if restarts then -- while others wait, among whom a namesake may be that has expired
        unpark(task, id)
    end
    redis.call('HDEL', HOMES .. task, id)
    return true
end

local function park(id, queue, due, special, task, restarts)
    local expires, place = tonumber(special), place_in_line(queue, due)
    if restarts then
        local first = redis.call('ZRANGE', PARKED .. task, 0, 0, 'WITHSCORES')[2]
        place = first and math.min(place, first - 1) or place
    end
    if expires then -- the claim has lifted this limit on the start
        due = due + 0.25
        redis.call('SET', EXPIRING .. id, redis.call('GET', PAYLOADS .. id), 'PXAT', expires + KEPT)
        redis.call('PEXPIREAT', PAYLOADS .. id, expires)
    elseif special == 'lapsed' then
        due = due + 0.75 -- it may have been what ended its worker
    end
    redis.call('DEL', CLAIMS .. id)
    redis.call('DECR', TRIES .. id)
    redis.call('ZREM', queue, id)
    unpark(task, id) -- it would be a namesake that has expired
    redis.call('ZADD', PARKED .. task, place, id)
    redis.call('ZADD', OUTSIDE .. queue, due, id)
    redis.call('HSET', HOMES .. task, id, queue)
    redis.call('SADD', PARKED_TASKS, task)
end

local started, parked = {}, {}
for number, job in ipairs(cmsgpack.unpack(ARGV[2])) do
    local id, queue, stamp, due, special, task, concurrency, jobs, per = unpack(job)
    started[number] = 0
    if holds(redis.call('GET', CLAIMS .. id), ARGV[1], stamp) then
        local restarts = special == 'lapsed'
        redis.call('SREM', PLACES .. task, id) -- first, for it is what a full Redis accepts
        set_limit(task, concurrency, jobs, per)
        if may_start(id, task, concurrency, jobs, restarts) then
            started[number] = 1
        else
            park(id, queue, due, special, task, restarts)
            parked[#parked + 1] = id
        end
        promote(task)
    end
end
tell('pending', parked)
return started
