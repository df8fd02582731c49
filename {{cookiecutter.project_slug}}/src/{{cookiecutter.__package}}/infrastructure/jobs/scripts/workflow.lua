-- Makes a workflow, and queues the jobs of it that wait for no others.
--
-- ARGV  1 workflow  2 kind ('chain', 'group')  3 policy  4 how many steps or members  5 '1': with a callback
--       6 names of the tasks  7 ms for which it is kept after its end
--       8 MessagePack: the lanes of all its jobs, in order
--       9 MessagePack: a list of {queue, how many jobs it may hold for these to have room, what counts as its length: all
--         its lanes, and what is outside}, where lengths are limited
--       10 owner ('': nobody)  11... the payloads of the first jobs; those of the others have been stored, for a while
-- Gives 1; 0 when that while is over; or {queue, its length} where there is no room.
--
-- The first write is one that a full Redis refuses: after any other it would let all that come after pass.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local workflow, kind, total = ARGV[1], ARGV[2], tonumber(ARGV[4])
local key, lanes, here = WORKFLOWS .. workflow, cmsgpack.unpack(ARGV[8]), #ARGV - 10
local PAGE = 500 -- what Lua can pass on in one call is limited

local function job(number)
    return string.format('%s-%05d', workflow, number)
end

for _, limit in ipairs(cmsgpack.unpack(ARGV[9])) do
    local queue, most, names = unpack(limit)
    local length = 0
    for _, name in ipairs(names) do
        length = length + redis.call('ZCARD', name)
    end
    if length > most then
        return { queue, length }
    end
end

for _, lane in ipairs(lanes) do
    redis.call('ZCARD', lane) -- an error where the key is of another kind, while nothing is written yet
end

local stored = {}
for number = here, #lanes - 1 do
    stored[#stored + 1] = PAYLOADS .. job(number)
end
for page = 1, #stored, PAGE do
    local names = { unpack(stored, page, math.min(page + PAGE - 1, #stored)) }
    if redis.call('EXISTS', unpack(names)) < #names then
        return 0
    end
end

for number = 0, here - 1 do
    redis.call('SET', PAYLOADS .. job(number), ARGV[11 + number])
end
for _, name in ipairs(stored) do
    redis.call('PERSIST', name)
end
redis.call('HSET', key, 'kind', kind, 'policy', ARGV[3], 'total', total, 'callback', ARGV[5], 'tasks', ARGV[6])
redis.call('HSET', key, 'created', now, 'left', #lanes, 'kept', ARGV[7])
if ARGV[10] ~= '' then
    redis.call('HSET', key, 'owner', ARGV[10])
end

local first = kind == 'chain' and 1 or total -- how many wait for no others
local queued = {}
for number, lane in ipairs(lanes) do
    if number <= first then
        queued[lane] = queued[lane] or {}
        table.insert(queued[lane], now)
        table.insert(queued[lane], job(number - 1))
    else
        redis.call('HSET', key, 'lane:' .. number - 1, lane)
    end
end
for lane, members in pairs(queued) do
    for page = 1, #members, 2 * PAGE do
        redis.call('ZADD', lane, unpack(members, page, math.min(page + 2 * PAGE - 1, #members)))
    end
    know(lane)
    wake(lane)
end
return 1
