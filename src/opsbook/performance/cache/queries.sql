-- Statements on the cache.

-- name: purge
-- Have every process forget something.
insert into opsbook.cache_purges (kind, target, digest, origin)
values (%(kind)s, %(target)s, %(digest)s, %(origin)s)
returning revision

-- name: purges_since
-- What is to be forgotten after a revision, in order.
select revision, kind, target, digest from opsbook.cache_purges where revision > %(revision)s order by revision

-- name: recent_purges
-- What was to be forgotten lately, for a process that has just begun to follow.
select revision, kind, target, digest from opsbook.cache_purges
where created_at > now() - interval '10 minutes'
order by revision

-- name: revision
-- The newest revision of the purges.
select revision from opsbook.revisions where topic = 'cache'

-- name: add_statistics
-- What a process counted, added to this hour; in one order, so that two reports never wait for each other.
insert into opsbook.cache_statistics as held (
    hour, function, hits, shared_hits, stale, misses, waits, refreshes, errors, seconds
)
select
    date_trunc('hour', now(), 'UTC'), g.function, sum(g.hits), sum(g.shared_hits), sum(g.stale), sum(g.misses),
    sum(g.waits), sum(g.refreshes), sum(g.errors), sum(g.seconds)
from jsonb_to_recordset(%(counts)s) as g (
    function text, hits bigint, shared_hits bigint, stale bigint, misses bigint, waits bigint, refreshes bigint,
    errors bigint, seconds double precision
)
group by g.function
order by g.function
on conflict (hour, function) do update set
    hits = held.hits + excluded.hits,
    shared_hits = held.shared_hits + excluded.shared_hits,
    stale = held.stale + excluded.stale,
    misses = held.misses + excluded.misses,
    waits = held.waits + excluded.waits,
    refreshes = held.refreshes + excluded.refreshes,
    errors = held.errors + excluded.errors,
    seconds = held.seconds + excluded.seconds

-- name: put_memory
-- What a process holds now.
insert into opsbook.cache_memory as held (process, function, entries, bytes, seen_at)
select %(process)s, g.function, sum(g.entries), sum(g.bytes), now()
from jsonb_to_recordset(%(memory)s) as g (function text, entries bigint, bytes bigint)
group by g.function
order by g.function
on conflict (process, function) do update
set entries = excluded.entries, bytes = excluded.bytes, seen_at = excluded.seen_at

-- name: statistics
-- Each function's calls within a period, whole hours counted, and what the processes that still report hold of it.
with calls as (
    select
        function, sum(hits)::bigint as hits, sum(shared_hits)::bigint as shared_hits, sum(stale)::bigint as stale,
        sum(misses)::bigint as misses, sum(waits)::bigint as waits, sum(refreshes)::bigint as refreshes,
        sum(errors)::bigint as errors, sum(seconds) as seconds
    from opsbook.cache_statistics
    where %(period)s::interval is null or hour > now() - %(period)s::interval
    group by function
),
held as (
    select
        function, count(*) as processes, sum(entries)::bigint as entries, sum(bytes)::bigint as bytes
    from opsbook.cache_memory
    where seen_at > now() - interval '1 minute'
    group by function
)
select
    function, coalesce(hits, 0) as hits, coalesce(shared_hits, 0) as shared_hits, coalesce(stale, 0) as stale,
    coalesce(misses, 0) as misses, coalesce(waits, 0) as waits, coalesce(refreshes, 0) as refreshes,
    coalesce(errors, 0) as errors, coalesce(seconds, 0) as seconds, coalesce(processes, 0) as processes,
    coalesce(entries, 0) as entries, coalesce(bytes, 0) as bytes
from calls
full join held using (function)
order by coalesce(seconds, 0) desc, function

-- name: history
-- What one function's calls or those of all came to, hour by hour.
select
    hour, sum(hits)::bigint as hits, sum(shared_hits)::bigint as shared_hits, sum(stale)::bigint as stale,
    sum(misses)::bigint as misses, sum(waits)::bigint as waits
from opsbook.cache_statistics
where (%(function)s::text is null or function = %(function)s) and hour > now() - %(period)s::interval
group by hour
order by hour

-- name: find_purge
-- What was to be forgotten by a revision.
select kind, target, digest from opsbook.cache_purges where revision = %(revision)s

-- name: forget_purges
-- Every process that listens has heard of them long ago; one that was deaf for as long forgets everything.
delete from opsbook.cache_purges where created_at < now() - interval '1 day'

-- name: forget_processes
-- Processes that no longer report.
delete from opsbook.cache_memory where seen_at < now() - interval '1 hour'

-- name: fold_statistics
-- Hours older than a month become one row a function, so that what is counted for Prometheus never falls.
with old as (
    delete from opsbook.cache_statistics
    where hour < now() - interval '31 days' and hour > '-infinity'
    returning *
)
insert into opsbook.cache_statistics as held (
    hour, function, hits, shared_hits, stale, misses, waits, refreshes, errors, seconds
)
select
    '-infinity', function, sum(hits), sum(shared_hits), sum(stale), sum(misses), sum(waits), sum(refreshes),
    sum(errors), sum(seconds)
from old
group by function
on conflict (hour, function) do update set
    hits = held.hits + excluded.hits,
    shared_hits = held.shared_hits + excluded.shared_hits,
    stale = held.stale + excluded.stale,
    misses = held.misses + excluded.misses,
    waits = held.waits + excluded.waits,
    refreshes = held.refreshes + excluded.refreshes,
    errors = held.errors + excluded.errors,
    seconds = held.seconds + excluded.seconds
