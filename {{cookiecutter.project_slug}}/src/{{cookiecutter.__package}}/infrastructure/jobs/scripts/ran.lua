-- Takes note of a job that was enqueued for a schedule out of turn; nothing, if the schedule is gone.
--
-- ARGV  1 id of the schedule  2 id of the job
local time = redis.call('TIME')
if redis.call('EXISTS', SCHEDULE .. ARGV[1]) == 1 then
    local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
    redis.call('HSET', SCHEDULE .. ARGV[1], 'last', now, 'job', ARGV[2])
end
