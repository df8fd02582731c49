-- Records the end of jobs, each only if its lease is still the caller's: a worker that lost it changes nothing.
--
-- ARGV  1 token  2 '1': a lease that has lapsed counts as ours, if nobody has claimed the job since
--       3 MessagePack: a list of {id, queue, number of the try, status, ms for which the result is kept (0: for ever),
--         ms for which the id stays claimed}
--       4... the results in the same order ('': none is kept): this MessagePack knows no bytes
-- Gives for each job 1, or 0 when its lease is lost.
local jobs = cmsgpack.unpack(ARGV[3])
local claims = {}
for number, job in ipairs(jobs) do
    claims[number] = CLAIMS .. job[1]
end
local holders = redis.call('MGET', unpack(claims))
local committed, gone, queues, ended, results = {}, {}, {}, {}, {}
for number, job in ipairs(jobs) do
    local id, queue, status, kept, result = job[1], job[2], job[4], job[5], ARGV[3 + number]
    local ours = holders[number] == ARGV[1] .. ':' .. job[3]
    committed[number] = ours and 1 or 0
    if not holders[number] and ARGV[2] == '1' then
        local tries = redis.call('GET', TRIES .. id)
        if tries then -- every claim counts a try, so an unchanged number says that there was none
            ours = tonumber(tries) == job[3]
            committed[number] = ours and 1 or 0
        elseif result == '' or redis.call('GET', RESULTS .. id) == result then
            committed[number] = 1 -- by an earlier call, whose answer was lost
        end
    end
    if ours then
        if job[6] > 0 then
            redis.call('PEXPIRE', claims[number], job[6])
        else
            gone[#gone + 1] = claims[number]
        end
        gone[#gone + 1] = PAYLOADS .. id
        gone[#gone + 1] = TRIES .. id
        queues[queue] = queues[queue] or {}
        table.insert(queues[queue], id)
        ended[status] = ended[status] or {}
        table.insert(ended[status], id)
        if result ~= '' then
            results[#results + 1] = { id, result, kept }
        end
    end
end
if #gone > 0 then
    redis.call('DEL', unpack(gone)) -- first: after it even a full Redis accepts the results, which take the room
    for queue, ids in pairs(queues) do
        redis.call('ZREM', queue, unpack(ids))
        redis.call('ZREM', ABORTS, unpack(ids))
    end
    for _, entry in ipairs(results) do
        if entry[3] > 0 then
            redis.call('SET', RESULTS .. entry[1], entry[2], 'PX', entry[3])
        else
            redis.call('SET', RESULTS .. entry[1], entry[2])
        end
    end
    if redis.call('PUBSUB', 'NUMSUB', EVENTS)[2] > 0 then
        redis.call('PUBLISH', EVENTS, cjson.encode(ended))
    end
end
return committed
