-- Stores jobs of one lane and queues them; one whose id is taken, or that another stands for, is left out.
--
-- KEYS  1 lane  2... what counts as the length of the queue, where that is limited: all its lanes, and what is outside
-- ARGV  1 MessagePack: a list of
--       {id, due, delay, ms until the payload expires (0: never), whether the id was the caller's choice, locks}
--       due in ms by the caller's word, or false: delay ms from now
--       locks: a list of {key, while, ms}: the job is left out while the one that took this key before is 'pending'
--       (waits for its first start) or 'unfinished' (has not ended), or for the whole 'period'; 'key': the same, but
--       asked before all else; the key is kept so many ms
--       2... the payloads in the same order: this MessagePack knows no bytes
--       then the greatest length that the queue may have; nothing: it has no limit
-- Gives the length of the queue, a single number, where what is to be stored has no room in it: then nothing is; else
--       for each job 1, or 0 when its id is taken (a job with it waits, be it in vain, for it has expired; or runs, or
--       has its result kept, unless that was cancelled), or {number of the lock, id of the job that has it}.
--
-- The first write is one that a full Redis refuses: after any other it would let all that follow pass. And when Redis
-- refuses one in the middle, as where a key is of another kind, nothing is left of those before it: what is stored but
-- not queued would never run, and would keep the same from being enqueued again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

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

local jobs = cmsgpack.unpack(ARGV[1])
local limit = tonumber(ARGV[2 + #jobs])
local length, room = 0, math.huge
if limit then
    for number = 2, #KEYS do
        length = length + redis.call('ZCARD', KEYS[number])
    end
    room = limit - length
end

local stored, due, written, reused = {}, {}, {}, {}
local function undo(refusal)
    if #written > 0 then
        redis.call('DEL', unpack(written))
    end
    return refusal
end

for number, job in ipairs(jobs) do
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
        room = room - 1
        if room < 0 then
            return undo(length)
        end
        keep(PAYLOADS .. id, payload, job[4])
        written[#written + 1] = PAYLOADS .. id
        if job[5] then
            reused[#reused + 1] = id
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
    for _, id in ipairs(reused) do
        clean(id)
    end
    know(KEYS[1])
    wake(KEYS[1])
end
return stored
