-- Stores jobs and queues them; a job whose id is taken (it waits, runs, or its result is kept) is left out.
--
-- KEYS  1 queue
-- ARGV  1 MessagePack: a list of
--       {id, due, delay, ms until the payload expires (0: never), whether the id was the caller's choice}
--       due in ms by the caller's word, or false: delay ms from now
--       2... the payloads in the same order: this MessagePack knows no bytes
-- Gives for each job 1, or 0 when its id is taken.
--
-- The first write is one that a full Redis refuses: after any other it would let all that follow pass.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored, due = {}, {}
for number, job in ipairs(cmsgpack.unpack(ARGV[1])) do
    local id, payload = job[1], ARGV[1 + number]
    local free = 1
    if job[5] and redis.call('EXISTS', PAYLOADS .. id, RESULTS .. id, CLAIMS .. id) > 0 then
        free = 0
    else
        if job[4] == 0 then
            redis.call('SET', PAYLOADS .. id, payload)
        else
            redis.call('SET', PAYLOADS .. id, payload, 'PX', job[4])
        end
        if job[5] then
            redis.call('ZREM', ABORTS, id) -- these were about a job that had this id before
            redis.call('DEL', UNKNOWN .. id)
        end
        -- A quarter of a millisecond marks a job that expires, so that the claim can let it live once it has started.
        due[#due + 1] = (job[2] or now + job[3]) + (job[4] > 0 and 0.25 or 0)
        due[#due + 1] = id
    end
    stored[number] = free
end
if #due > 0 then
    redis.call('ZADD', KEYS[1], unpack(due))
    -- One token is enough: the worker that takes it leaves another when it leaves work behind.
    if redis.call('LLEN', WAKE .. KEYS[1]) == 0 then
        redis.call('LPUSH', WAKE .. KEYS[1], '1')
    end
end
return stored
