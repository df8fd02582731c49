-- Pauses a queue, from which nothing is started then, or lets it go on.
--
-- KEYS  1 queue
-- ARGV  1 '1': pause
--
-- The first write is one that a full Redis accepts: that may be why somebody pauses.
local was = redis.call('SREM', PAUSED, KEYS[1]) == 1
if ARGV[1] == '1' then
    redis.call('SADD', PAUSED, KEYS[1])
elseif was then
    wake(KEYS[1])
end
