-- Records the end of jobs, each only if its lease is still the caller's: a worker that lost it changes nothing.
--
-- ARGV  1 token  2 '1': a lease that has lapsed counts as ours, if nobody has claimed the job since
--       3 MessagePack: a list of {id, queue, stamp of the claim, status, ms for which the result is kept (0: for ever,
--         -1: not at all), ms for which the id stays claimed, line of the history ('': none), whether it is a dead
--         letter, group of its limit ('': none)}, and for a part of a workflow further {workflow, number, why it has
--         ended, in words ('': well), number of its value below, from 1 (0: it is not wanted)}
--       4... the results in the same order ('': none), then the values: this MessagePack knows no bytes
-- Gives for each job 1, or 0 when its lease is lost; and the ids of the jobs that were given up with them, in two lists,
--       see workflows.lua.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local jobs = cmsgpack.unpack(ARGV[3])
local claims = {}
for number, job in ipairs(jobs) do
    claims[number] = CLAIMS .. job[1]
end
local holders = redis.call('MGET', unpack(claims))
local committed, ours, gone, attempts, queues, ended, lines, parts = {}, {}, {}, {}, {}, {}, {}, {}
local given_up = {}
for number, job in ipairs(jobs) do
    local id, queue, stamp, status = job[1], job[2], job[3], job[4]
    local mine = holds(holders[number], ARGV[1], stamp)
    committed[number] = mine and 1 or 0
    if not holders[number] and ARGV[2] == '1' then
        if redis.call('EXISTS', TRIES .. id) == 1 then
            mine = unclaimed_since(id, stamp)
            committed[number] = mine and 1 or 0
        elseif job[5] < 0 or redis.call('GET', RESULTS .. id) == ARGV[3 + number] then
            committed[number] = 1 -- by an earlier call, whose answer was lost
        end
    elseif mine and job[6] > 0 and redis.call('EXISTS', TRIES .. id) == 0 then
        mine = false -- likewise, and that call has left the claim
    end
    if mine then
        ours[#ours + 1] = number
        if job[6] > 0 then
            redis.call('PEXPIRE', claims[number], job[6])
        else
            gone[#gone + 1] = claims[number]
        end
        gone[#gone + 1] = PAYLOADS .. id
        gone[#gone + 1] = TRIES .. id
        if status ~= 'success' then -- else it has not expired
            gone[#gone + 1] = EXPIRING .. id
        end
        if not holders[number] or string.sub(stamp, 1, 2) ~= '1:' then -- else no worker was lost
            gone[#gone + 1] = LOST .. id
        end
        attempts[#attempts + 1] = ATTEMPTS .. id
        queues[queue] = queues[queue] or {}
        table.insert(queues[queue], id)
        ended[status] = ended[status] or {}
        table.insert(ended[status], id)
        if job[7] ~= '' then
            lines[status] = lines[status] or {}
            table.insert(lines[status], now)
            table.insert(lines[status], job[7])
        end
    end
end
if #gone > 0 then
    redis.call('DEL', unpack(gone)) -- first: after it even a full Redis accepts the results, which take the room
    for queue, ids in pairs(queues) do
        redis.call('ZREM', queue, unpack(ids))
        redis.call('ZREM', ABORTS, unpack(ids))
    end
    for _, number in ipairs(ours) do
        local job, result = jobs[number], ARGV[3 + number]
        local id, kept = job[1], job[5]
        if kept >= 0 then
            keep(RESULTS .. id, result, kept)
            if job[4] == 'cancelled' then
                keep(CANCELLED .. id, '1', kept)
            end
        end
        if job[8] then
            bury(id, result, now)
        end
        if job[9] ~= '' then
            forget(job[9], id)
        end
        if job[10] then
            local value = job[13] > 0 and ARGV[3 + #jobs + job[13]]
            parts[#parts + 1] = { job[10], job[11], job[4], job[12], value, kept }
        end
    end
    if redis.call('EXISTS', unpack(attempts)) > 0 then -- most jobs have none, and one call for all tells so
        for _, number in ipairs(ours) do
            keep_attempts(jobs[number][1], jobs[number][5])
        end
    end
    for status, members in pairs(lines) do
        redis.call('ZADD', HISTORY .. status, unpack(members))
    end
    for status, ids in pairs(ended) do
        tell(status, ids)
    end
    if #parts > 0 then
        given_up = advance(parts, now)
    end
end
return { committed, given_up }
