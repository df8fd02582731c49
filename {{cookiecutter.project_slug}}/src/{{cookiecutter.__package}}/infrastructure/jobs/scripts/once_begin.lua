-- Notes that an effect begins which is to happen once, and tells what is known of it.
--
-- KEYS  the effect: a hash of `state` ('begun', 'done'), `birth`, `value`, and of who began it, `job` and `claim`
-- ARGV  1 id of the job  2 what its claim holds ('': it runs without one)
--       3 what tells the job from others that have had its id ('': nothing does)
--       4 '1': what one of those has noted counts, too  5 ms for which this is kept
-- Gives {'first' or 'uncertain' (somebody has begun, and nobody knows how far it came), birth},
--       {'done', birth, value (nil: it is unknown)}, {'busy', id of the job that is at it right now}, or
--       {'overtaken'}: the claim is not the caller's any more.
local job, claim, birth = ARGV[1], ARGV[2], ARGV[3]
if claim ~= '' then
    local holder = redis.call('GET', CLAIMS .. job)
    local stamp = string.match(claim, ':(%d+:%d+)$')
    if holder ~= claim and (holder or not unclaimed_since(job, stamp)) then
        return { 'overtaken' }
    end
end
local known = redis.call('HMGET', KEYS[1], 'state', 'birth', 'value', 'job', 'claim')
local answer = 'first'
if known[1] and (ARGV[4] == '1' or known[2] == birth) then
    birth = known[2]
    if known[1] == 'done' then
        return { 'done', birth, known[3] }
    end
    if known[4] ~= job and known[5] ~= '' and redis.call('GET', CLAIMS .. known[4]) == known[5] then
        return { 'busy', known[4] }
    end
    answer = 'uncertain'
    redis.call('PEXPIRE', KEYS[1], ARGV[5]) -- before the write that a full Redis would not accept, as DEL is below
else
    redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'state', 'begun', 'birth', birth, 'job', job, 'claim', claim)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return { answer, birth }
