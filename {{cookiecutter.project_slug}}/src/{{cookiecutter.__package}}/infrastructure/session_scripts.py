"""What happens to sign-in sessions in Redis: the atomic steps of `cache.py`, each after `NOW`.

The scripts make the name of a user's key from what the session's hash says, which Redis Cluster would not allow; arq
does not run on one either.
"""

#: What all of them begin with.
NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function set_expiry(data, index, users, hash, user, expires)
    redis.call('HSET', data, 'expires', expires)
    redis.call('PEXPIREAT', data, expires)
    redis.call('ZADD', index, expires, hash .. ':' .. user)
    local mine = users .. user
    redis.call('ZADD', mine, expires, hash)
    redis.call('ZREMRANGEBYSCORE', mine, '-inf', now)
    redis.call('PEXPIREAT', mine, redis.call('ZRANGE', mine, -1, -1, 'WITHSCORES')[2])
end

local function user_of(data)
    local values = redis.call('HMGET', data, 'user', 'expires')
    return values[1] and tonumber(values[2]) > now and values[1]
end

local function read(data)
    return redis.call('HMGET', data, 'user', 'data', 'created', 'expires')
end
"""

# KEYS of these five: the session's hash, the index of all. ARGV begins: session hash, prefix of users' keys.
CREATE = """
redis.call('HSET', KEYS[1], 'user', ARGV[3], 'data', ARGV[4], 'created', now)
set_expiry(KEYS[1], KEYS[2], ARGV[2], ARGV[1], ARGV[3], now + ARGV[5])
"""

GET = """
return user_of(KEYS[1]) and read(KEYS[1])
"""

TOUCH = """
local user = user_of(KEYS[1])
if not user then return false end
set_expiry(KEYS[1], KEYS[2], ARGV[2], ARGV[1], user, now + ARGV[3])
return read(KEYS[1])
"""

UPDATE = """
if not user_of(KEYS[1]) then return 0 end
redis.call('HSET', KEYS[1], 'data', ARGV[3])
return 1
"""

DELETE = """
local user = redis.call('HGET', KEYS[1], 'user')
if not user then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. user)
redis.call('ZREM', ARGV[2] .. user, ARGV[1])
return 1
"""

DELETE_ALL = """
local deleted = 0
for _, hash in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    deleted = deleted + redis.call('DEL', ARGV[1] .. hash)
    redis.call('ZREM', KEYS[2], hash .. ':' .. ARGV[2])
end
redis.call('DEL', KEYS[1])
return deleted
"""

LIST_FOR = """
local found = {}
for _, hash in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local data = ARGV[1] .. hash
    if user_of(data) then
        table.insert(found, read(data))
    end
end
return found
"""

COUNT = """
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
"""

DELETE_EXPIRED = """
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
for _, member in ipairs(expired) do
    local hash, user = string.sub(member, 1, 64), string.sub(member, 66)
    redis.call('DEL', ARGV[1] .. hash)
    redis.call('ZREM', ARGV[2] .. user, hash)
    redis.call('ZREM', KEYS[1], member)
end
return #expired
"""
