-- Forgets what is beyond the limits of history and dead letters, a part of it at a time.
--
-- ARGV  1 lines of the history to keep, for each status  2 ms to keep them
--       3 dead letters to keep  4 ms to keep them
-- Gives 1 if there may be more to forget, else 0.
local PART = 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function beyond(key, limit, age)
    local old = redis.call('ZRANGEBYSCORE', key, '-inf', now - age, 'LIMIT', 0, PART)
    local spare = math.min(redis.call('ZCARD', key) - limit, PART)
    if spare > #old then
        return redis.call('ZRANGE', key, 0, spare - 1)
    end
    return old
end

local more = 0
for _, status in ipairs({ 'success', 'failed', 'cancelled' }) do
    local members = beyond(HISTORY .. status, ARGV[1], ARGV[2])
    if #members > 0 then
        redis.call('ZREM', HISTORY .. status, unpack(members))
    end
    more = (more == 1 or #members == PART) and 1 or 0
end
local ids = beyond(DEAD, ARGV[3], ARGV[4])
for _, id in ipairs(ids) do
    unbury(id)
end
return (more == 1 or #ids == PART) and 1 or 0
