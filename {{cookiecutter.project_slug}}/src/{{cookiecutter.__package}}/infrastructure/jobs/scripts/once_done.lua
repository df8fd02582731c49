-- Notes that an effect has happened; the first that says so is believed.
--
-- KEYS  the effect, as `once_begin` has it
-- ARGV  1 birth, as `once_begin` gave it  2 the value ('': it has no form in which it could be stored)
--       3 ms for which this is kept
-- Gives {1, the value that was noted first (nil: it is unknown)}, or {0}: the job's id has been used for another job.
redis.call('PEXPIRE', KEYS[1], ARGV[3]) -- first, for it is what a full Redis accepts
local known = redis.call('HMGET', KEYS[1], 'state', 'birth', 'value')
if known[1] and known[2] ~= ARGV[1] then
    return { 0 }
end
if known[1] == 'done' then
    return { 1, known[3] }
end
redis.call('HSET', KEYS[1], 'state', 'done', 'birth', ARGV[1])
redis.call('HDEL', KEYS[1], 'job', 'claim')
if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], 'value', ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 1, redis.call('HGET', KEYS[1], 'value') }
