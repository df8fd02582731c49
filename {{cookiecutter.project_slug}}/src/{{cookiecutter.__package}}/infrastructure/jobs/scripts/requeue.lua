-- Puts claimed jobs back, each only if its lease is still the caller's: for another try, or because the worker stops.
--
-- ARGV  1 token  2 '1': a lease that has lapsed counts as ours, if nobody has claimed the job since
--       3 MessagePack: a list of {id, queue, number of the try, ms until it is due, whether this try counts,
--         whether it stays marked as one whose lease has lapsed}
-- Gives for each job 1, or 0 when its lease is lost.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local requeued = {}
for number, job in ipairs(cmsgpack.unpack(ARGV[3])) do
    local id, queue = job[1], job[2]
    local claim, tries = CLAIMS .. id, TRIES .. id
    local holder = redis.call('GET', claim)
    local ours = holder == ARGV[1] .. ':' .. job[3]
    requeued[number] = ours and 1 or 0
    if not holder and ARGV[2] == '1' then
        local count = tonumber(redis.call('GET', tries))
        ours = count == job[3]
        -- One less: an earlier call, whose answer was lost, has taken this try back.
        requeued[number] = (ours or not job[5] and count == job[3] - 1) and 1 or 0
    end
    if ours then
        redis.call('DEL', claim) -- first, for it is what a full Redis accepts
        if not job[5] then
            redis.call('DECR', tries)
        end
        redis.call('PERSIST', PAYLOADS .. id) -- a limit on its start is no limit on a job that has started
        redis.call('ZADD', queue, 'XX', now + job[4] + (job[6] and 0.5 or 0), id)
        if redis.call('LLEN', WAKE .. queue) == 0 then
            redis.call('LPUSH', WAKE .. queue, '1')
        end
    end
end
return requeued
