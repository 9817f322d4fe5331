-- Decides requests against their limits, in one step: each takes all that it claims, or nothing.
--
-- KEYS: one for each claim, in order. ARGV[1]: the caller's time in microseconds, 0 for Redis's own.
-- ARGV[2], as MessagePack: {policies, requests}; a policy is {milliseconds to live, {{limit, microseconds}, ...}},
-- its longest window last; a request is {policy, cost, policy, cost, ...}, policies by their place.
-- Gives the time that was taken, then wait, remaining and reset for each window of each claim.
--
-- A key's value is a ring, as in memory.py: the latest time, the head's place, then the admitted moments, as doubles.
-- Redis's own clock is read for a caller's first question alone, so that one who sets it moves no limit: time is the
-- callers', and in a ring it never goes back.

local HEADER, MOMENT, SMALLEST = 16, 8, 4
local WHOLE = 16384 -- bytes up to which a value is read at once; of a larger one single moments are
local SMALL = 1024 -- bytes up to which it is written at once
local NONE = string.rep('\0', MOMENT)

local function parse(key, data, length)
    if length < HEADER or (length - HEADER) % MOMENT ~= 0 then
        return nil
    end
    local latest, head = struct.unpack('<dd', data)
    local size = (length - HEADER) / MOMENT
    if not (latest >= 0 and latest < 2 ^ 53 and head >= 0 and head < size and head % 1 == 0) then
        return nil
    end
    local body = #data == length and string.sub(data, HEADER + 1) or nil
    return {key = key, latest = latest, head = head, size = size, body = body, written = {}}
end

-- What is no ring of ours, of whatever type, counts as none.
local function read(key)
    local data = redis.pcall('GETRANGE', key, 0, WHOLE - 1)
    local length = type(data) == 'string' and #data or 0
    if length == WHOLE then
        length = redis.call('STRLEN', key)
    end
    return parse(key, data, length) or {key = key, latest = 0, head = 0, size = 0, body = '', written = {}}
end

-- The n-th most recent moment, 1 the newest.
local function moment(ring, n)
    if n > ring.size then
        return 0
    end
    local slot = (ring.head - n) % ring.size
    local place = slot * MOMENT
    if ring.written[slot] then
        return ring.written[slot]
    elseif ring.body then
        return (struct.unpack('<d', ring.body, place + 1))
    end
    return (struct.unpack('<d', redis.call('GETRANGE', ring.key, HEADER + place, HEADER + place + MOMENT - 1)))
end

local function wait_of(ring, windows, cost, now)
    local longest = 0
    for _, window in ipairs(windows) do
        local nth = window[1] - cost + 1
        longest = math.max(longest, nth < 1 and window[2] or moment(ring, nth) + window[2] - now)
    end
    return longest
end

-- How many of the most recent moments are in a window, as far as its limit.
local function used(ring, limit, span, now)
    local low, high = 0, math.min(limit, ring.size)
    while low < high do
        local middle = math.floor((low + high + 1) / 2)
        if moment(ring, middle) + span > now then
            low = middle
        else
            high = middle - 1
        end
    end
    return low
end

-- How each window stands: after `taken` more, or for one who was refused the cost `refused`.
local function tell(answer, ring, windows, refused, taken, now)
    for _, window in ipairs(windows) do
        local limit, span = window[1], window[2]
        local count = used(ring, limit, span, now)
        local wait, nth = 0, limit - refused + 1
        if count >= nth then
            wait = nth < 1 and span or moment(ring, nth) + span - now
        end
        answer[#answer + 1] = wait
        answer[#answer + 1] = limit - count - taken
        answer[#answer + 1] = count > 0 and moment(ring, count) + span - now or span
    end
end

local function is_small(ring)
    return ring.body and #ring.body <= SMALL
end

local function write(ring, milliseconds)
    redis.call('SET', ring.key, struct.pack('<dd', ring.latest, ring.head) .. ring.body, 'PX', milliseconds)
end

-- Twice the room, the oldest moment first.
local function grow(ring, milliseconds)
    local body = is_small(ring) and ring.body or redis.call('GETRANGE', ring.key, HEADER, -1)
    local cut = ring.head * MOMENT
    ring.head, ring.size = ring.size, math.max(SMALLEST, ring.size * 2)
    ring.body = string.sub(body, cut + 1) .. string.sub(body, 1, cut) .. string.rep(NONE, ring.size - ring.head)
    ring.written = {}
    if not is_small(ring) then
        write(ring, milliseconds)
    end
end

local function put(ring, now)
    local place, packed = ring.head * MOMENT, struct.pack('<d', now)
    if is_small(ring) then
        ring.body = string.sub(ring.body, 1, place) .. packed .. string.sub(ring.body, place + MOMENT + 1)
    else
        redis.call('SETRANGE', ring.key, HEADER + place, packed)
        ring.written[ring.head] = now
    end
    ring.head = (ring.head + 1) % ring.size
end

local function record(ring, cost, longest, milliseconds, now)
    ring.latest = now
    for _ = 1, cost do
        if ring.size == 0 or moment(ring, ring.size) + longest > now then
            grow(ring, milliseconds)
        end
        put(ring, now)
    end
    if is_small(ring) then
        write(ring, milliseconds)
    else
        redis.call('SETRANGE', ring.key, 0, struct.pack('<dd', now, ring.head))
        redis.call('PEXPIRE', ring.key, milliseconds)
    end
end

local now = tonumber(ARGV[1])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end

local question = cmsgpack.unpack(ARGV[2])
local policies, requests = question[1], question[2]
local rings, answer, place, newest = {}, {0}, 0, now

for _, request in ipairs(requests) do
    local claims, at, wait = #request / 2, now, 0
    for i = 1, claims do
        local key = KEYS[place + i]
        rings[key] = rings[key] or read(key)
        at = math.max(at, rings[key].latest)
    end
    for i = 1, claims do
        wait = math.max(wait, wait_of(rings[KEYS[place + i]], policies[request[2 * i - 1]][2], request[2 * i], at))
    end
    for i = 1, claims do
        local ring, policy, cost = rings[KEYS[place + i]], policies[request[2 * i - 1]], request[2 * i]
        local milliseconds, windows = policy[1], policy[2]
        if wait > 0 then
            tell(answer, ring, windows, cost, 0, at)
        else
            tell(answer, ring, windows, 0, cost, at)
            record(ring, cost, windows[#windows][2], milliseconds, at)
        end
    end
    place, newest = place + claims, math.max(newest, at)
end
answer[1] = newest
return answer
