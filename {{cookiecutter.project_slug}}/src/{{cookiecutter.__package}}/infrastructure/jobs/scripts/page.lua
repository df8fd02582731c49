-- Gives the entries of sorted sets that come next for a reader, who has stopped somewhere: by their scores, and where
-- these are equal by their names. It does not matter whether the entry at which it stopped is still there.
--
-- KEYS  the sorted sets
-- ARGV  1 '1': from the highest score down  2 score to begin with  3 last score  4 how many entries of each set
--       5 score after which to go on ('': from the beginning)  6 name after which to go on
-- Gives for each set the entries, as a flat list of names and scores.
local down = ARGV[1] == '1'
local RANGE = down and 'ZREVRANGE' or 'ZRANGE'
local score, name = ARGV[5], ARGV[6]

-- Byte by byte, as Redis orders names; Lua's own order is that of the system's language.
local function smaller(one, other)
    for i = 1, math.min(#one, #other) do
        local a, b = string.byte(one, i), string.byte(other, i)
        if a ~= b then
            return a < b
        end
    end
    return #one < #other
end

local function count_before(key, limit)
    if down then
        return redis.call('ZCOUNT', key, '(' .. limit, '+inf')
    end
    return redis.call('ZCOUNT', key, '-inf', '(' .. limit)
end

local function count_after(key, limit)
    if down then
        return redis.call('ZCOUNT', key, '-inf', '(' .. limit)
    end
    return redis.call('ZCOUNT', key, '(' .. limit, '+inf')
end

-- Gives how many entries the reader has passed. Those with the score at which it stopped may be many.
local function count_passed(key)
    local low = count_before(key, score)
    local high = low + redis.call('ZCOUNT', key, score, score)
    while low < high do
        local middle = math.floor((low + high) / 2)
        local member = redis.call(RANGE, key, middle, middle)[1]
        local ahead = down and smaller(member, name) or not down and smaller(name, member)
        if ahead then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

local pages = {}
for number, key in ipairs(KEYS) do
    local first = score == '' and count_before(key, ARGV[2]) or count_passed(key)
    local last = math.min(first + ARGV[4], redis.call('ZCARD', key) - count_after(key, ARGV[3])) - 1
    pages[number] = last >= first and redis.call(RANGE, key, first, last, 'WITHSCORES') or {}
end
return pages
