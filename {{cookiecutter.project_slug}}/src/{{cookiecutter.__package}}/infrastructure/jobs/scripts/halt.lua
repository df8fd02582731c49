-- Stops a workflow: the jobs that wait are given up, those that run are left to the caller.
--
-- ARGV  1 workflow  2 '1': running ones are about to be ended, too  3 why, in words
-- Gives the ids of the jobs that are given up, in two lists, see workflows.lua, and of those that run; nil: it has ended, or
-- there is no such workflow.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local workflow, key = ARGV[1], WORKFLOWS .. ARGV[1]
local kind, ended, total, callback = unpack(redis.call('HMGET', key, 'kind', 'status', 'total', 'callback'))
if not kind or ended then
    return false
end
redis.call('PERSIST', key) -- first, for it is what a full Redis accepts
local gone = { {}, {} }
local count, running = give_up(workflow, 0, callback == '1' and total or total - 1, now, gone)
if count > 0 or ARGV[2] == '1' then
    redis.call('HSETNX', key, 'broken', 'cancelled')
    redis.call('HSETNX', key, 'why', ARGV[3])
end
tell(finish(workflow, now) or 'progress', { workflow })
return { gone, running }
