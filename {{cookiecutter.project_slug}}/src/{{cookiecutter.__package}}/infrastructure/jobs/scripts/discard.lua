-- Forgets dead letters; one that is gone by now is left out, and so is a later one of the same id.
--
-- ARGV  1 MessagePack: a list of {id, when it died}
-- Gives how many were forgotten.
local count = 0
for _, letter in ipairs(cmsgpack.unpack(ARGV[1])) do
    if tonumber(redis.call('ZSCORE', DEAD, letter[1]) or 0) == letter[2] then
        unbury(letter[1])
        count = count + 1
    end
end
return count
