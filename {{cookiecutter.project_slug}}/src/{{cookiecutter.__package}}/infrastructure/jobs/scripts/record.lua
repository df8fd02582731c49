-- Records the end of jobs that ran outside a worker, each once.
--
-- ARGV  1 MessagePack: a list of {key that marks the record as made, ms for which it does, id, status, ms for which the
--         result is kept (0: for ever, -1: not at all), line of the history ('': none), whether it is a dead letter,
--         when it ended, in ms}
--       2... the results in the same order ('': none): this MessagePack knows no bytes
for number, job in ipairs(cmsgpack.unpack(ARGV[1])) do
    local mark, id, status, kept, result = job[1], job[3], job[4], job[5], ARGV[1 + number]
    if redis.call('EXISTS', mark) == 0 then
        if kept >= 0 then
            keep(RESULTS .. id, result, kept)
        end
        if job[7] then
            redis.call('SET', DEAD_LETTERS .. id, result)
            redis.call('ZADD', DEAD, job[8], id)
        end
        if job[6] ~= '' then
            redis.call('ZADD', HISTORY .. status, job[8], job[6])
        end
        keep(mark, id, job[2]) -- last: what Redis has refused halfway is done again
        tell(status, { id })
    end
end
