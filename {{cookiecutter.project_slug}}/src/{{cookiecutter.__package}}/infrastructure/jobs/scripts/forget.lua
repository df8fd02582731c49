-- Forgets lanes in which there has been no job for a day; the next one makes a lane known anew.
local UNUSED = 86400000 -- ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local unused = redis.call('ZRANGEBYSCORE', QUIET, '-inf', now - UNUSED)
redis.call('ZREMRANGEBYSCORE', QUIET, '-inf', now - UNUSED) -- first, for it is what a full Redis accepts
for _, lane in ipairs(unused) do
    if redis.call('EXISTS', lane, OUTSIDE .. lane) == 0 then
        redis.call('SREM', QUEUES, lane)
    end
end
for _, lane in ipairs(redis.call('SMEMBERS', QUEUES)) do
    if redis.call('EXISTS', lane, OUTSIDE .. lane) > 0 then
        redis.call('ZREM', QUIET, lane)
    else
        redis.call('ZADD', QUIET, 'NX', now, lane)
    end
end
