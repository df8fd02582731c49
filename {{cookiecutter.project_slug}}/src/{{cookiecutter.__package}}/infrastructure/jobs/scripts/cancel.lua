-- Cancels a job: one that waits is ended at once, one that runs is asked to end if that is wanted.
--
-- KEYS  1 queue
-- ARGV  1 id  2 result  3 ms for which the result is kept (0: for ever)  4 '1': end a running one too
--       5 line of the history  6 task
-- Gives 'cancelled', 'asked' (its worker will end it), 'running' (and it was not asked), or 'unknown' (no such job).
local id = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', PAYLOADS .. id) == 0 then
    return 'unknown'
end
if redis.call('EXISTS', CLAIMS .. id) == 1 then
    if ARGV[4] ~= '1' then
        return 'running'
    end
    redis.call('ZREM', ABORTS, id) -- first, for it is what a full Redis accepts
    redis.call('ZADD', ABORTS, now, id)
    redis.call('PUBLISH', ABORTS, id)
    return 'asked'
end
redis.call('DEL', PAYLOADS .. id, TRIES .. id, UNKNOWN .. id, LOST .. id, EXPIRING .. id)
redis.call('ZREM', KEYS[1], id)
redis.call('ZREM', ABORTS, id) -- of a run whose worker was lost
forget(ARGV[6], id)
keep(RESULTS .. id, ARGV[2], tonumber(ARGV[3]))
keep(CANCELLED .. id, '1', tonumber(ARGV[3]))
keep_attempts(id, tonumber(ARGV[3]))
redis.call('ZADD', HISTORY .. 'cancelled', now, ARGV[5])
tell('cancelled', { id })
return 'cancelled'
