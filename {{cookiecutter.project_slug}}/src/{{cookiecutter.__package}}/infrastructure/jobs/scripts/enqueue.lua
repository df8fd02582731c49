-- Stores a job and queues it, unless a job with its id is known: one that waits, runs, or whose result is kept.
--
-- KEYS  1 payload  2 result  3 queue
-- ARGV  1 job id  2 payload  3 due time in ms  4 milliseconds until the payload expires, 0 for never
-- Gives 1, or 0 when the id is taken.
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then
    return 0
end
if tonumber(ARGV[4]) > 0 then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
else
    redis.call('SET', KEYS[1], ARGV[2])
end
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
return 1
