-- Tells which schedules are due.
--
-- ARGV  1 how many to tell of  2 the code of the caller ('': none)
-- Gives the time; ms until the next tick that has not come yet (-1: there is none); whether the schedules of that code
--       have been written, since Redis may have lost them; and for each schedule that is due, the longest first: id,
--       tick in ms, revision, definition.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local places = redis.call('ZRANGE', SCHEDULES, 0, ARGV[1], 'WITHSCORES') -- one more, to know how long it takes
local due, wait = {}, -1
for number = 1, #places, 2 do
    local id, tick = places[number], places[number + 1]
    if tick == 'inf' or tonumber(tick) > now then
        wait = tick == 'inf' and -1 or tick - now
        break
    end
    if #due < tonumber(ARGV[1]) then
        local known = redis.call('HMGET', SCHEDULE .. id, 'next', 'revision', 'definition')
        due[#due + 1] = { id, known[1], known[2], known[3] }
    end
end
return { now, wait, redis.call('SISMEMBER', SCHEDULE_OWNERS, ARGV[2]), due }
