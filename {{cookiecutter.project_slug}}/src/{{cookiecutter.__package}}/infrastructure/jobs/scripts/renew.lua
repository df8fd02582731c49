-- Prolongs the leases of running jobs.
--
-- ARGV  1 token  2 lease in ms  3 '1': a lease that has lapsed is taken up again, if nobody has claimed the job since
--       4 MessagePack: a list of {id, queue, stamp of the claim}
-- Gives the ids whose lease is lost.
local time = redis.call('TIME')
local lease_end = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2] + 0.5
local lost = {}
for _, job in ipairs(cmsgpack.unpack(ARGV[4])) do
    local id, queue, stamp = job[1], job[2], job[3]
    local claim = CLAIMS .. id
    local holder = redis.call('GET', claim)
    if holds(holder, ARGV[1], stamp) then
        if redis.call('ZSCORE', queue, id) then -- else it has ended, and its claim lasts as long as that end wants
            redis.call('PEXPIRE', claim, ARGV[2]) -- first, for it is what a full Redis accepts
            redis.call('ZADD', queue, 'XX', lease_end, id)
        end
    elseif not holder and ARGV[3] == '1' and lapsed_since(queue, id, stamp) then
        redis.call('DEL', claim) -- likewise: it is not there
        redis.call('ZADD', queue, 'XX', lease_end, id)
        redis.call('SET', claim, ARGV[1] .. ':' .. stamp, 'PX', ARGV[2])
    else
        lost[#lost + 1] = id
    end
end
return lost
