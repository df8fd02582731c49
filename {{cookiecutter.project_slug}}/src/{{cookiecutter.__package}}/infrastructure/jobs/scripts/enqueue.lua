-- Stores jobs and queues them; one whose id is taken, or that another stands for, is left out.
--
-- KEYS  1 queue
-- ARGV  1 MessagePack: a list of
--       {id, due, delay, ms until the payload expires (0: never), whether the id was the caller's choice, locks}
--       due in ms by the caller's word, or false: delay ms from now
--       locks: a list of {key, while, ms}: the job is left out while the one that took this key before is 'pending'
--       (waits for its first start) or 'unfinished' (has not ended), or for the whole 'period'; 'key': the same, but
--       asked before all else; the key is kept so many ms
--       2... the payloads in the same order: this MessagePack knows no bytes
-- Gives for each job 1, or 0 when its id is taken (a job with it waits, be it in vain, for it has expired; or runs, or
--       has its result kept, unless that was cancelled), or {number of the lock, id of the job that has it}.
--
-- The first write is one that a full Redis refuses: after any other it would let all that follow pass. And when Redis
-- refuses one in the middle, as where a key is of another kind, nothing is left of those before it: what is stored but
-- not queued would never run, and would keep the same from being enqueued again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function taken(id)
    if redis.call('EXISTS', PAYLOADS .. id, CLAIMS .. id, EXPIRING .. id) > 0 then -- the last: a worker is to record it
        return true
    end
    return redis.call('EXISTS', RESULTS .. id) == 1 and redis.call('EXISTS', CANCELLED .. id) == 0
end

-- Gives the job that has one of the locks, those by 'key' or all others, and which lock it is.
local function stands_for(job, by_key)
    for position, lock in ipairs(job[6]) do
        if (lock[2] == 'key') == by_key then
            local holder = holder_of(lock)
            if holder then
                return holder, position
            end
        end
    end
end

local stored, due, written = {}, {}, {}
local function undo(refusal)
    if #written > 0 then
        redis.call('DEL', unpack(written))
    end
    return refusal
end

for number, job in ipairs(cmsgpack.unpack(ARGV[1])) do
    local id, payload = job[1], ARGV[1 + number]
    local holder, position = stands_for(job, true) -- first: the same request again is answered as before
    local left_out = not holder and job[5] and taken(id)
    if not holder and not left_out then
        holder, position = stands_for(job, false)
    end
    if type(holder) == 'table' then
        return undo(holder)
    end
    local answer = holder and { position, holder } or left_out and 0 or 1
    if answer == 1 then
        keep(PAYLOADS .. id, payload, job[4])
        written[#written + 1] = PAYLOADS .. id
        if job[5] then -- what is left of a job that had this id before
            redis.call('ZREM', ABORTS, id)
            redis.call('DEL', TRIES .. id, LOST .. id, UNKNOWN .. id, RESULTS .. id, CANCELLED .. id)
            redis.call('DEL', ATTEMPTS .. id, PROGRESS .. id)
        end
        if job[4] > 0 then
            written[#written + 1] = EXPIRING .. id
            keep(EXPIRING .. id, payload, job[4] + KEPT)
        end
        for _, lock in ipairs(job[6]) do
            keep(lock[1], id, lock[3])
            written[#written + 1] = lock[1]
        end
        -- A quarter of a millisecond marks a job that expires, so that the claim can let it live once it has started.
        due[#due + 1] = (job[2] or now + job[3]) + (job[4] > 0 and 0.25 or 0)
        due[#due + 1] = id
    end
    stored[number] = answer
end
if #due > 0 then
    local added = redis.pcall('ZADD', KEYS[1], unpack(due))
    if type(added) == 'table' then
        return undo(added)
    end
    redis.call('SADD', QUEUES, KEYS[1])
    wake(KEYS[1])
end
return stored
