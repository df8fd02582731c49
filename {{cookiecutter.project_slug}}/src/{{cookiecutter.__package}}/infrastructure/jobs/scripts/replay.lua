-- Makes new jobs of dead letters, which go in the same step; one that is gone by now, or that another job stands for,
-- is left out.
--
-- ARGV  1 MessagePack: a list of {id of the dead letter, when it died, id of the job, queue, due, delay, locks}, see
--       enqueue.lua for the last three
--       2... the payloads in the same order: this MessagePack knows no bytes
-- Gives for each job 1, or 0 when the dead letter is gone, or {number of the lock, id of the job that has it}.
--
-- The first write is one that a full Redis refuses, and the dead letter goes last: it is not lost when a call fails.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function replay(job, payload)
    local dead, died, id, queue, due, delay, locks = unpack(job)
    if tonumber(redis.call('ZSCORE', DEAD, dead) or 0) ~= died then
        return 0
    end
    for position, lock in ipairs(locks) do
        local holder = holder_of(lock)
        if type(holder) == 'table' then
            return holder
        end
        if holder then
            return { position, holder }
        end
    end
    keep(PAYLOADS .. id, payload, 0)
    local added = redis.pcall('ZADD', queue, due or now + delay, id)
    if type(added) == 'table' then
        redis.call('DEL', PAYLOADS .. id)
        return added
    end
    for _, lock in ipairs(locks) do
        keep(lock[1], id, lock[3])
    end
    know(queue)
    wake(queue)
    unbury(dead)
    return 1
end

local answers = {}
for number, job in ipairs(cmsgpack.unpack(ARGV[1])) do
    answers[number] = replay(job, ARGV[1 + number])
end
return answers
