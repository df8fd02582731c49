-- Tells which jobs could not be enqueued now, since others stand for them; it changes nothing.
--
-- ARGV  1 MessagePack: a list of the locks of each job, see enqueue.lua
-- Gives for each job 1, or 0 when none of its locks is held.
local answers = {}
for number, locks in ipairs(cmsgpack.unpack(ARGV[1])) do
    answers[number] = 0
    for _, lock in ipairs(locks) do
        if holder_of(lock) then
            answers[number] = 1
        end
    end
end
return answers
