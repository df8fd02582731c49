-- Cancels jobs: those that wait are ended at once, those that run are asked to end if that is wanted.
--
-- ARGV  1 '1': end running ones too  2 ms for which the results are kept (0: for ever)
--       3 MessagePack: a list of {id, lane, task, line of the history}, and for a part of a workflow further
--         {workflow, number, why it has ended, in words}
--       4... the results in the same order: this MessagePack knows no bytes
-- Gives for each job 'cancelled', 'asked' (its worker will end it), 'running' (and it was not asked), or 'unknown' (no
--       such job); and the ids of the jobs that were given up with them, in two lists, see workflows.lua.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = tonumber(ARGV[2])

local function cancel(id, lane, task, line, result)
    if redis.call('EXISTS', PAYLOADS .. id) == 0 then
        return 'unknown'
    end
    if redis.call('EXISTS', CLAIMS .. id) == 1 then
        if ARGV[1] ~= '1' then
            return 'running'
        end
        redis.call('ZREM', ABORTS, id) -- first, for it is what a full Redis accepts
        redis.call('ZADD', ABORTS, now, id)
        redis.call('PUBLISH', ABORTS, id)
        return 'asked'
    end
    redis.call('DEL', PAYLOADS .. id, TRIES .. id, UNKNOWN .. id, LOST .. id, EXPIRING .. id) -- first, likewise
    redis.call('ZREM', lane, id)
    redis.call('ZREM', ABORTS, id) -- of a run whose worker was lost
    forget(task, id)
    keep(RESULTS .. id, result, kept)
    keep(CANCELLED .. id, '1', kept)
    keep_attempts(id, kept)
    redis.call('ZADD', HISTORY .. 'cancelled', now, line)
    return 'cancelled'
end

local answers, cancelled, parts, counted = {}, {}, {}, {}
for number, job in ipairs(cmsgpack.unpack(ARGV[3])) do
    local id, lane, task, line, workflow, part, why = unpack(job)
    answers[number] = cancel(id, lane, task, line, ARGV[3 + number])
    if answers[number] == 'cancelled' then
        cancelled[#cancelled + 1] = id
        counted[task] = { cancelled = (counted[task] or { cancelled = 0 }).cancelled + 1 }
        if workflow then
            parts[#parts + 1] = { workflow, part, 'cancelled', why, false, kept }
        end
    end
end
tell('cancelled', cancelled)
if #cancelled > 0 then
    count(math.floor(now / 1000), counted, {})
end
return { answers, advance(parts, now) }
