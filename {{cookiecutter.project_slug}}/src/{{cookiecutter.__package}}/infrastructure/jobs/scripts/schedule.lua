-- Stores schedules; of one that is there already stays known when it ran last, whether it is paused, and its next tick
-- unless it recurs otherwise now.
--
-- ARGV  1 the code that they come from, of which they are all: others of it are removed; '': they are made at run time
--       2 MessagePack: a list of {id, revision, how it recurs, next tick in ms, as text}
--       3... the definitions in the same order: this MessagePack knows no bytes
-- Gives for each 1, or 0 where one of that id comes from code, and this one does not.
--
-- Nothing is written where nothing is new, so that a full Redis lets workers start. Else the first write is one that it
-- refuses.
local owner = ARGV[1]
local answers, named, changed = {}, {}, false

local function store(schedule, definition)
    local id, revision, recurs, tick = unpack(schedule)
    local was = redis.call('HMGET', SCHEDULE .. id, 'owner', 'revision', 'recurs', 'next', 'paused')
    if owner == '' and was[1] and was[1] ~= '' then
        return 0
    end
    if was[1] ~= owner or was[2] ~= revision then
        if was[3] == recurs then
            tick = was[4]
        end
        redis.call('HSET', SCHEDULE .. id, 'owner', owner, 'revision', revision, 'recurs', recurs, 'next', tick)
        redis.call('HSET', SCHEDULE .. id, 'definition', definition)
        redis.call('ZADD', SCHEDULES, was[5] == '1' and '+inf' or tick, id)
        changed = true
    end
    return 1
end

for number, schedule in ipairs(cmsgpack.unpack(ARGV[2])) do
    named[schedule[1]] = true
    answers[number] = store(schedule, ARGV[2 + number])
end
if owner ~= '' then
    if redis.call('SISMEMBER', SCHEDULE_OWNERS, owner) == 0 then
        redis.call('SADD', SCHEDULE_OWNERS, owner)
    end
    for _, id in ipairs(redis.call('ZRANGE', SCHEDULES, 0, -1)) do
        if not named[id] and redis.call('HGET', SCHEDULE .. id, 'owner') == owner then
            redis.call('ZREM', SCHEDULES, id)
            redis.call('DEL', SCHEDULE .. id)
            changed = true
        end
    end
end
if changed then
    redis.call('PUBLISH', SCHEDULES, '')
end
return answers
