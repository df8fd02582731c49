-- Mends what nobody told: parked jobs of one task that could start have their turn.
--
-- ARGV  1 task  2 '1': the caller knows the task, and these are its limits now:
--       3 concurrency  4 jobs  5 per, see limits.lua
local task = ARGV[1]
local now = microseconds()
local now_ms = math.floor(now / 1000)
-- Who has not taken its turn for so many ms waits in a queue that nobody serves, is gone, or asks anew when it is claimed.
local TURN = 10000

local missed = redis.call('ZRANGEBYSCORE', TURNS .. task, '-inf', now_ms - TURN)
redis.call('ZREMRANGEBYSCORE', TURNS .. task, '-inf', now_ms - TURN) -- first, for it is what a full Redis accepts
for _, id in ipairs(missed) do
    redis.call('HDEL', HOMES .. task, id)
end
if ARGV[2] == '1' then
    set_limit(task, ARGV[3], ARGV[4], ARGV[5])
end
local places, _, token_at = capacity(task, now)
if places <= 0 then
    purge(task)
end
-- A deploy may have brought the next token forward.
local due = math.max(now_ms, math.ceil(token_at / 1000))
for _, id in ipairs(redis.call('ZRANGEBYSCORE', TURNS .. task, '(' .. due, '+inf')) do
    local queue = redis.call('HGET', HOMES .. task, id)
    local score = queue and redis.call('ZSCORE', queue, id)
    if score then
        redis.call('ZADD', queue, 'XX', due + score % 1, id)
        redis.call('ZADD', TURNS .. task, due, id)
        wake(queue)
    end
end
promote(task)
local unlimited = ARGV[2] == '1' and ARGV[3] == '0' and ARGV[4] == '0'
if unlimited then -- by this release
    redis.call('DEL', TURNS .. task)
end
if redis.call('EXISTS', PARKED .. task, TURNS .. task) == 0 then
    redis.call('SREM', PARKED_TASKS, task)
    if unlimited then
        redis.call('DEL', LIMITS .. task, STARTS .. task, PLACES .. task, HOMES .. task)
    end
end
