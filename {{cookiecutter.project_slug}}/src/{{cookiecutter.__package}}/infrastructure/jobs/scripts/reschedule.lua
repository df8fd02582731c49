-- Removes, pauses or resumes a schedule, also in a full Redis: the first write is one that it accepts.
--
-- ARGV  1 id  2 'remove', 'pause' or 'resume'
--       to resume: 3 revision  4 the next tick in ms, both as the caller has read them
-- Gives 'done'; 'unknown' if there is none; 'code' if it comes from code, and so cannot be removed; 'changed' if it is
--       another one since the caller has read it.
local id, wish, revision, tick = unpack(ARGV)
local was = redis.call('HMGET', SCHEDULE .. id, 'owner', 'revision', 'paused')
if not was[1] then
    return 'unknown'
end
if wish == 'remove' then
    if was[1] ~= '' then
        return 'code'
    end
    redis.call('ZREM', SCHEDULES, id)
    redis.call('DEL', SCHEDULE .. id)
elseif wish == 'pause' then
    redis.call('ZREM', SCHEDULES, id)
    redis.call('ZADD', SCHEDULES, '+inf', id)
    redis.call('HSET', SCHEDULE .. id, 'paused', '1')
elseif was[3] == '1' then
    if was[2] ~= revision then
        return 'changed'
    end
    redis.call('ZREM', SCHEDULES, id)
    redis.call('ZADD', SCHEDULES, tick, id)
    redis.call('HSET', SCHEDULE .. id, 'paused', '0', 'next', tick)
end
redis.call('PUBLISH', SCHEDULES, id)
return 'done'
