-- Leaves an order for a worker, and tells it that there is one.
--
-- KEYS  1 the worker's record  2 the order, and its channel
-- ARGV  1 order  2 ms for which it waits for the worker
-- Gives 1, or 0 if there is no such worker.
if redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
local order = redis.call('GET', KEYS[2]) == 'stop' and 'stop' or ARGV[1] -- whoever is to end is not only to rest
redis.call('DEL', KEYS[2]) -- a full Redis accepts this, and then what follows
redis.call('SET', KEYS[2], order, 'PX', ARGV[2])
redis.call('PUBLISH', KEYS[2], order)
return 1
