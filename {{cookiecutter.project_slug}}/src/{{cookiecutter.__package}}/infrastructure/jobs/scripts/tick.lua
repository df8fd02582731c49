-- Enqueues the jobs of ticks that have come, and moves each schedule to its next tick in the same step; one that is no
-- longer as the caller has read it, because another worker was first or somebody has changed it, is left alone.
--
-- ARGV  1 MessagePack: a list of {id of the schedule, revision, tick, next tick, whether its runs may overlap, jobs}
--       ticks in ms, as text
--       jobs: a list of {id, id to take where that one is taken ('': the job is left out), due, lane, locks}, see
--       enqueue.lua for the locks
--       2... the payloads of all jobs in the same order: this MessagePack knows no bytes
-- Gives for each schedule how many jobs were enqueued, or -1 if it was left alone, or -2 if the job of its last run has
--       not ended, and its runs may not overlap: then only its tick has moved.
--
-- The first write is one that a full Redis refuses: then the tick has still to come. What is refused otherwise is the
-- first job of a schedule, as those of one schedule go to one lane; so no tick is half done.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local function put(job, payload)
    local id, other, due, lane, locks = unpack(job)
    if taken(id) then
        if other == '' then
            return false
        end
        id = other
    end
    for _, lock in ipairs(locks) do
        local holder = holder_of(lock)
        if holder then
            return type(holder) == 'table' and holder
        end
    end
    keep(PAYLOADS .. id, payload, 0)
    local added = redis.pcall('ZADD', lane, due, id)
    if type(added) == 'table' then
        redis.call('DEL', PAYLOADS .. id)
        return added
    end
    clean(id)
    for _, lock in ipairs(locks) do
        keep(lock[1], id, lock[3])
    end
    know(lane)
    wake(lane)
    return id
end

local function run(schedule, payloads)
    local id, revision, tick, upcoming, overlap, jobs = unpack(schedule)
    local was = redis.call('HMGET', SCHEDULE .. id, 'revision', 'next', 'paused', 'job')
    if was[1] ~= revision or was[2] ~= tick or was[3] == '1' then
        return -1
    end
    local answer = 0
    if not overlap and was[4] and redis.call('EXISTS', PAYLOADS .. was[4]) == 1 then
        answer = -2
    else
        for number, job in ipairs(jobs) do
            local stored = put(job, payloads[number])
            if type(stored) == 'table' then
                return stored
            end
            if stored then
                redis.call('HSET', SCHEDULE .. id, 'last', now, 'job', stored)
                answer = answer + 1
            end
        end
    end
    redis.call('HSET', SCHEDULE .. id, 'next', upcoming)
    redis.call('ZADD', SCHEDULES, upcoming, id)
    return answer
end

local answers, position = {}, 1
for number, schedule in ipairs(cmsgpack.unpack(ARGV[1])) do
    local payloads = {}
    for _ = 1, #schedule[6] do
        position = position + 1
        payloads[#payloads + 1] = ARGV[position]
    end
    answers[number] = run(schedule, payloads)
end
return answers
