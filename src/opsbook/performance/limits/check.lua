-- Decides requests against their limits, in one step: each takes all that it claims, or nothing.
--
-- KEYS: one for each claim, in order. ARGV[1]: the caller's time in microseconds, 0 for Redis's own.
-- ARGV[2], as MessagePack: {policies, requests}; a policy is {milliseconds to live, {{limit, microseconds}, ...}},
-- its longest window last; a request is {policy, cost, policy, cost, ...}, policies by their place.
-- Gives the time that was taken, then wait, remaining and reset for each window of each claim.
--
-- A key's value is a ring, as in memory.py: the head's place, when Redis forgets it, then the admitted moments, as
-- doubles. Only what changes is written, for that is what goes to replicas: two doubles and one, mostly.
-- Redis's own clock is read for a caller's first question alone, so that one who sets it moves no limit: time is the
-- callers', and in a ring it never goes back.

local call, pack, unpack = redis.call, struct.pack, struct.unpack
local max, min, floor, sub, rep = math.max, math.min, math.floor, string.sub, string.rep

local HEADER, MOMENT, SMALLEST = 16, 8, 4
local WHOLE = 16384 -- bytes up to which a value is read at once; of a larger one single moments are
local MARGIN = 300 * 1000000 -- how long it is kept at least beyond its longest window
local NONE = rep('\0', MOMENT)
local YEAR = 366 * 86400 * 1000000 -- by which no clock is ahead of another

local now = tonumber(ARGV[1])
if now == 0 then
    local time = call('TIME')
    now = time[1] * 1000000 + time[2]
end

-- The n-th most recent moment, 1 the newest.
local function moment(ring, n)
    if n < 1 or n > ring.stored then
        return 0
    end
    local slot = (ring.head - n) % ring.size
    local place = slot * MOMENT
    if ring.written[slot] then
        return ring.written[slot]
    elseif ring.body then
        return (unpack('<d', ring.body, place + 1))
    end
    return (unpack('<d', call('GETRANGE', ring.key, HEADER + place, HEADER + place + MOMENT - 1)))
end

local function parse(key, data, length)
    if length <= HEADER or (length - HEADER) % MOMENT ~= 0 then
        return nil
    end
    local head, expires = unpack('<dd', data)
    local size = (length - HEADER) / MOMENT
    if not (head >= 0 and head < size and head % 1 == 0 and expires > 0 and expires < 2 ^ 53) then
        return nil
    end
    local body = #data == length and sub(data, HEADER + 1) or nil
    local ring = {key = key, head = head, expires = expires, size = size, stored = size, body = body, written = {}}
    if moment(ring, size) == 0 then
        ring.stored = head -- it has not come round yet
    end
    ring.latest = moment(ring, 1)
    -- One from beyond would take every caller along, and their limits out of force.
    return ring.latest >= 0 and ring.latest < now + YEAR and ring or nil
end

-- What is no ring of ours, of whatever type, counts as none.
local function read(key)
    local data = redis.pcall('GETRANGE', key, 0, WHOLE - 1)
    local length = type(data) == 'string' and #data or 0
    if length == WHOLE then
        length = call('STRLEN', key)
    end
    return parse(key, data, length) or {key = key, head = 0, expires = 0, size = 0, stored = 0, latest = 0, body = '', written = {}}
end

local function wait_of(ring, windows, cost, now)
    local longest = 0
    for i = 1, #windows do
        local window = windows[i]
        local nth = window[1] - cost + 1
        longest = max(longest, nth < 1 and window[2] or moment(ring, nth) + window[2] - now)
    end
    return longest
end

-- How many of the most recent moments are in a window, as far as its limit, and the oldest of them. Mostly it is all
-- that there are.
local function used(ring, limit, span, now)
    local low, high = 0, min(limit, ring.stored)
    local oldest = moment(ring, high)
    if oldest + span > now then
        return high, oldest
    end
    high = high - 1
    while low < high do
        local middle = floor((low + high + 1) / 2)
        if moment(ring, middle) + span > now then
            low = middle
        else
            high = middle - 1
        end
    end
    return low, moment(ring, low)
end

-- How each window stands: after `taken` more, or for one who was refused the cost `refused`.
local function tell(answer, ring, windows, refused, taken, now)
    for i = 1, #windows do
        local limit, span = windows[i][1], windows[i][2]
        local count, oldest = used(ring, limit, span, now)
        local wait, nth = 0, limit - refused + 1
        if count >= nth then
            wait = nth < 1 and span or moment(ring, nth) + span - now
        end
        local last = #answer
        answer[last + 1] = wait
        answer[last + 2] = limit - count - taken
        answer[last + 3] = count > 0 and oldest + span - now or span
    end
end

-- Twice the room, the oldest moment first.
local function grow(ring, milliseconds)
    local body = ring.size > 0 and call('GETRANGE', ring.key, HEADER, -1) or ''
    local cut = ring.head * MOMENT
    ring.head, ring.size = ring.size, max(SMALLEST, ring.size * 2)
    ring.body = sub(body, cut + 1) .. sub(body, 1, cut) .. rep(NONE, ring.size - ring.head)
    ring.written = {}
    call('SET', ring.key, pack('<dd', ring.head, ring.expires) .. ring.body, 'PX', milliseconds)
end

local function record(ring, cost, longest, milliseconds, now)
    local is_renewed = ring.expires < now + longest + MARGIN
    if is_renewed then
        ring.expires = now + milliseconds * 1000
    end
    for _ = 1, cost do
        if ring.size == 0 or ring.stored == ring.size and moment(ring, ring.size) + longest > now then
            grow(ring, milliseconds)
        end
        call('SETRANGE', ring.key, HEADER + ring.head * MOMENT, pack('<d', now))
        ring.written[ring.head] = now
        ring.head = (ring.head + 1) % ring.size
        ring.stored = min(ring.size, ring.stored + 1)
    end
    call('SETRANGE', ring.key, 0, pack('<dd', ring.head, ring.expires))
    if is_renewed then
        call('PEXPIRE', ring.key, milliseconds)
    end
    ring.latest = now
end

local question = cmsgpack.unpack(ARGV[2])
local policies, requests = question[1], question[2]
local rings, answer, place, newest = {}, {0}, 0, now

for r = 1, #requests do
    local request = requests[r]
    local claims, at, wait = #request / 2, now, 0
    for i = 1, claims do
        local key = KEYS[place + i]
        rings[key] = rings[key] or read(key)
        at = max(at, rings[key].latest)
    end
    for i = 1, claims do
        wait = max(wait, wait_of(rings[KEYS[place + i]], policies[request[2 * i - 1]][2], request[2 * i], at))
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
    place, newest = place + claims, max(newest, at)
end
answer[1] = newest
return answer
