-- Reads the statistics: always the same number of commands.
--
-- Gives the time in s, and the hashes of the hour and of the day before it, each as a flat list.
local now = tonumber(redis.call('TIME')[1])

-- Gives the spans that a time of this length has had a part in; the first and the last are not whole.
local function read(length, period)
    local hashes = {}
    for moment = now - period, now, length do
        hashes[#hashes + 1] = redis.call('HGETALL', (span(length, moment)))
    end
    return hashes
end
return { now, read(MINUTES, HOUR), read(HOUR, DAY) }
