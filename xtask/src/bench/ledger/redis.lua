-- What Redis does for one half of a pair: an AWU that is not open is admitted, one that is open is settled.
-- KEYS: cells, the open AWUs, the journal. ARGV: the AWU, the entry's content, and for each cell the amount to
-- reserve and the actual.
local open, journal = KEYS[#KEYS - 1], KEYS[#KEYS]
local awu, content = ARGV[1], ARGV[2]
local cells = #KEYS - 2

if redis.call('HEXISTS', open, awu) == 1 then
    local reserved = cjson.decode(redis.call('HGET', open, awu))
    redis.call('HDEL', open, awu)
    for cell = 1, cells do
        redis.call('HINCRBY', KEYS[cell], 'held', -reserved[cell])
        redis.call('HINCRBY', KEYS[cell], 'used', ARGV[2 + 2 * cell])
    end
    redis.call('XADD', journal, '*', 'awu', awu, 'outcome', 'settled', 'content', content)
    return 1
end

local reserved = {}
for cell = 1, cells do
    local amount = tonumber(ARGV[1 + 2 * cell])
    local standing = redis.call('HMGET', KEYS[cell], 'allocated', 'held', 'used')
    if tonumber(standing[1]) - tonumber(standing[2]) - tonumber(standing[3]) < amount then
        return redis.error_reply('an admission was refused')
    end
    reserved[cell] = amount
end
for cell = 1, cells do
    redis.call('HINCRBY', KEYS[cell], 'held', reserved[cell])
end
redis.call('HSET', open, awu, cjson.encode(reserved))
redis.call('XADD', journal, '*', 'awu', awu, 'outcome', 'admitted', 'content', content)
return 1
