-- What every script that ends jobs does with their workflows. Of each workflow there are:
--
-- WORKFLOWS  hash: kind ('chain', 'group'), policy ('fail', 'cancel', 'continue'; of a group), total (how many steps or
--            members), callback ('1': there is one, whose number is `total`), created (in ms), tasks (for whoever looks),
--            lane:<number> of the jobs that wait for others, end:<number> of those that have ended (their status), left
--            (how many have not), success, failed, cancelled (how many have ended so), kept (ms for which this is kept
--            after the end; 0: for ever); where it has stopped: broken (the status that it will have), culprit (the
--            number of the job that has stopped it), why (in words); and when it has ended: status, finished (in ms)
-- VALUES     hash: what jobs came to, by their numbers, as far as it is wanted
--
-- Its jobs are stored when it is made. The number of each, from 0, is part of its id, so that a job whose payload cannot
-- be read, or is gone, has its place too.

local function job_of(workflow, number)
    return string.format('%s-%05d', workflow, number)
end

-- Puts jobs that have waited for others into their lane: a list of due times and ids.
local function queue_parts(lane, members)
    redis.call('ZADD', lane, unpack(members))
    know(lane)
    wake(lane)
end

-- Gives up the jobs from one number to another that wait. Whoever called the script is to end them; if that dies, a worker
-- finds them in their lanes. Adds the ids of those that wait for others to the first list of `gone`, and the ids of those
-- that were queued to the second. Gives their number, and the ids of the jobs that run.
local function give_up(workflow, first, last, now, gone)
    local key, count, running = WORKFLOWS .. workflow, 0, {}
    local created = redis.call('HGET', key, 'created')
    for page = first, last, 500 do -- what Lua can pass on in one call is limited
        local ends, lanes, claims = {}, {}, {}
        for number = page, math.min(page + 499, last) do
            ends[#ends + 1] = 'end:' .. number
            lanes[#lanes + 1] = 'lane:' .. number
            claims[#claims + 1] = CLAIMS .. job_of(workflow, number)
        end
        local ended, claimed = redis.call('HMGET', key, unpack(ends)), redis.call('MGET', unpack(claims))
        lanes = redis.call('HMGET', key, unpack(lanes))
        local marks, aborts, queued = {}, {}, {}
        for i, mark in ipairs(ends) do
            local id = job_of(workflow, page + i - 1)
            if claimed[i] and not ended[i] then
                running[#running + 1] = id
            elseif not ended[i] then
                marks[#marks + 1], marks[#marks + 2] = mark, 'cancelled'
                aborts[#aborts + 1], aborts[#aborts + 2] = now, id
                count = count + 1
                table.insert(gone[lanes[i] and 1 or 2], id)
                if lanes[i] then
                    local members = queued[lanes[i]] or {}
                    queued[lanes[i]] = members
                    members[#members + 1], members[#members + 2] = created, id
                end
            end
        end
        if #marks > 0 then
            redis.call('HSET', key, unpack(marks))
            redis.call('ZADD', ABORTS, unpack(aborts))
        end
        for lane, members in pairs(queued) do
            queue_parts(lane, members)
        end
    end
    if count > 0 then
        redis.call('HINCRBY', key, 'cancelled', count)
        redis.call('HINCRBY', key, 'left', -count)
    end
    return count, running
end

-- Ends a workflow of which no job is left, and gives its status; nil: it goes on.
local function finish(workflow, now)
    local key = WORKFLOWS .. workflow
    local left, broken, failed, cancelled, kept =
        unpack(redis.call('HMGET', key, 'left', 'broken', 'failed', 'cancelled', 'kept'))
    if tonumber(left) > 0 then
        return nil
    end
    -- All jobs may have ended well, although somebody wanted it cancelled.
    local status = broken and tonumber(failed or 0) + tonumber(cancelled or 0) > 0 and broken or 'success'
    redis.call('HSET', key, 'status', status, 'finished', now)
    if kept ~= '0' then
        redis.call('PEXPIRE', key, kept)
        redis.call('PEXPIRE', VALUES .. workflow, kept)
    end
    return status
end

-- Takes note of the end of one job, and does what comes after it.
local function go_on(workflow, number, status, why, value, kept, now, gone)
    local key = WORKFLOWS .. workflow
    local kind, policy, total, callback, known, longest, broken =
        unpack(redis.call('HMGET', key, 'kind', 'policy', 'total', 'callback', 'end:' .. number, 'kept', 'broken'))
    if not kind or known then -- such ids may have been made by others, and an end may be told twice
        return
    end
    total, longest = tonumber(total), tonumber(longest)
    redis.call('HSET', key, 'end:' .. number, status)
    redis.call('HINCRBY', key, status, 1)
    local left = redis.call('HINCRBY', key, 'left', -1)
    if kept == 0 or longest > 0 and kept > longest then
        redis.call('HSET', key, 'kept', kept)
    end
    if value then
        redis.call('HSET', VALUES .. workflow, number, value)
    end
    if broken then
        return
    end
    if status == 'success' or (policy == 'continue' and number < total) then
        local waiting = kind == 'chain' and number + 1 or callback == '1' and left == 1 and total
        local lane = waiting and redis.call('HGET', key, 'lane:' .. waiting)
        if lane then
            queue_parts(lane, { now, job_of(workflow, waiting) })
        end
        return
    end
    redis.call('HSET', key, 'broken', status, 'culprit', number, 'why', why)
    local first = (kind == 'chain' or policy == 'cancel') and 0 or total
    give_up(workflow, first, callback == '1' and total or total - 1, now, gone)
end

-- Goes on where jobs of workflows have ended: a list of {workflow, number, status, why, in words, value (false: it is
-- not wanted), ms for which the result is kept (0: for ever)}. Gives the ids of the jobs that are given up, see `give_up`.
local function advance(parts, now)
    local gone, touched, told = { {}, {} }, {}, {}
    for _, part in ipairs(parts) do
        local workflow, number, status, why, value, kept = unpack(part)
        go_on(workflow, number, status, why, value, kept, now, gone)
        touched[workflow] = true
    end
    for workflow in pairs(touched) do
        local kind, ended = unpack(redis.call('HMGET', WORKFLOWS .. workflow, 'kind', 'status'))
        if kind and not ended then
            local status = finish(workflow, now) or 'progress'
            told[status] = told[status] or {}
            table.insert(told[status], workflow)
        end
    end
    for status, workflows in pairs(told) do
        tell(status, workflows)
    end
    return gone
end
