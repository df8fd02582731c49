-- Adds to the statistics what a worker has counted.
--
-- ARGV  1 JSON: by task, then by counter, how many  2 JSON: by the key of a queue, how many
count(tonumber(redis.call('TIME')[1]), cjson.decode(ARGV[1]), cjson.decode(ARGV[2]))
