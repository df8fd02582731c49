-- What is counted of jobs, and where. For each span of time a hash, five minutes or an hour long:
--
-- STATISTICS<seconds>:<its begin, in s>  task:<name>: JSON, see `statistics.py`; queue:<key>: how many of its jobs workers
--                                        have ended, which is counted for five minutes only

local MINUTES, HOUR, DAY = 300, 3600, 86400

-- Gives the key of the span of that length which such a moment is in, and when it began.
local function span(length, moment)
    local start = moment - moment % length
    return STATISTICS .. length .. ':' .. start, start
end

local function add(key, tasks)
    for task, counted in pairs(tasks) do
        local sums = cjson.decode(redis.call('HGET', key, 'task:' .. task) or '{}')
        for name, number in pairs(counted) do
            sums[name] = (sums[name] or 0) + number
        end
        redis.call('HSET', key, 'task:' .. task, cjson.encode(sums))
    end
end

-- Adds what was counted: for each task a number for each counter, and a number for each queue. A span is kept until it is
-- wholly out of the hour, or the day, before any moment.
local function count(now, tasks, queues)
    local key, start = span(MINUTES, now)
    add(key, tasks)
    for queue, number in pairs(queues) do
        redis.call('HINCRBY', key, 'queue:' .. queue, number)
    end
    redis.call('EXPIREAT', key, start + MINUTES + HOUR)
    key, start = span(HOUR, now)
    add(key, tasks)
    redis.call('EXPIREAT', key, start + HOUR + DAY)
end
