-- Puts claimed jobs back, each only if its lease is still the caller's: for another try, or because the worker stops.
--
-- ARGV  1 token  2 '1': a lease that has lapsed counts as ours, if nobody has claimed the job since
--       3 MessagePack: a list of {id, queue, stamp of the claim, ms until it is due, whether this start counts,
--         whether it stays marked as one whose lease has lapsed, how the start ended ('': not worth a word), group of
--         its limit ('': none)}
-- Gives for each job 1, or 0 when its lease is lost.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local requeued, waiting = {}, {}
for number, job in ipairs(cmsgpack.unpack(ARGV[3])) do
    local id, queue, stamp = job[1], job[2], job[3]
    local claim = CLAIMS .. id
    local holder = redis.call('GET', claim)
    local ours = holds(holder, ARGV[1], stamp)
    requeued[number] = ours and 1 or 0
    if not holder and ARGV[2] == '1' then
        ours = lapsed_since(queue, id, stamp)
        -- Or it was put back by an earlier call, whose answer was lost; if that start did not count, it is taken back.
        local starts = string.match(stamp, '%d+') - (job[5] and 0 or 1)
        requeued[number] = (ours or tonumber(redis.call('GET', TRIES .. id)) == starts) and 1 or 0
    end
    if ours then
        redis.call('DEL', claim) -- first, for it is what a full Redis accepts
        if not job[5] then
            redis.call('DECR', TRIES .. id)
        end
        if job[7] ~= '' then
            log(id, job[7])
        end
        redis.call('PERSIST', PAYLOADS .. id) -- a limit on its start is no limit on a job that has started
        redis.call('ZADD', queue, 'XX', now + job[4] + (job[6] and 0.75 or 0), id)
        wake(queue)
        if job[8] ~= '' and not job[6] then -- a job that lost its worker keeps its place
            release(job[8], id)
        end
        waiting[#waiting + 1] = id
    end
end
tell('retrying', waiting)
return requeued
