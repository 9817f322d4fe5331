-- Statements on connection pools.

-- name: report
-- How a process's pool stands; its row is made by its first report.
insert into opsbook.pool_processes as held (
    id, host, pid, program, database, pool_size, max_overflow, checked_out, checked_in, waiting,
    longest_wait_seconds, arrivals, timeouts, failures, waited_seconds, held_seconds, holders
)
values (
    %(process)s, %(host)s, %(pid)s, %(program)s, %(database)s, %(pool_size)s, %(max_overflow)s, %(checked_out)s,
    %(checked_in)s, %(waiting)s, %(longest_wait_seconds)s, %(arrivals)s, %(timeouts)s, %(failures)s,
    %(waited_seconds)s, %(held_seconds)s, %(holders)s
)
on conflict (id) do update
set pool_size = excluded.pool_size, max_overflow = excluded.max_overflow, checked_out = excluded.checked_out,
    checked_in = excluded.checked_in, waiting = excluded.waiting,
    longest_wait_seconds = excluded.longest_wait_seconds, arrivals = excluded.arrivals,
    timeouts = excluded.timeouts, failures = excluded.failures, waited_seconds = excluded.waited_seconds,
    held_seconds = excluded.held_seconds, holders = excluded.holders, reported_at = now()

-- name: sample
-- What it did since its last report.
insert into opsbook.pool_samples (
    process, database, seconds, capacity, most_checked_out, most_wanted, arrivals, timeouts, failures,
    held_seconds, waits, holds, longest_hold_seconds, longest_hold_stack
)
values (
    %(process)s, %(database)s, %(seconds)s, %(capacity)s, %(most_checked_out)s, %(most_wanted)s, %(arrivals)s,
    %(timeouts)s, %(failures)s, %(held_seconds)s, %(waits)s, %(holds)s, %(longest_hold_seconds)s,
    %(longest_hold_stack)s
)

-- name: leave
-- The process ends.
delete from opsbook.pool_processes where id = %(process)s

-- name: processes
-- Every process that reports, or did within the hour.
select id, host, pid, program, database, pool_size, max_overflow, checked_out, checked_in, waiting,
    longest_wait_seconds, arrivals, timeouts, failures, waited_seconds, held_seconds, holders, started_at, reported_at,
    extract(epoch from now() - reported_at)::float as silent_seconds
from opsbook.pool_processes
order by database, host, program, pid

-- name: demand
-- What each process asked of its pool in the period. The arrivals are those of the busiest minutes: the 95th
-- percentile over the minutes in which anything was asked.
with minutes as (
    select process, date_bin('1 minute', at, 'epoch') as minute,
        sum(arrivals) / greatest(60.0, sum(seconds)) as arrivals_per_second
    from opsbook.pool_samples
    where at > now() - %(period)s::interval
    group by process, minute
), busiest as (
    select process, percentile_disc(0.95) within group (order by arrivals_per_second)::float as arrivals_per_second
    from minutes
    group by process
), totals as (
    select process, max(most_checked_out) as most_checked_out, max(most_wanted) as most_wanted,
        sum(arrivals)::bigint as arrivals, sum(timeouts)::bigint as timeouts, sum(failures)::bigint as failures,
        sum(held_seconds) as held_seconds, max(longest_hold_seconds) as longest_hold_seconds,
        (array_agg(longest_hold_stack order by longest_hold_seconds desc nulls last))[1] as longest_hold_stack
    from opsbook.pool_samples
    where at > now() - %(period)s::interval
    group by process
)
select t.*, b.arrivals_per_second
from totals t
join busiest b using (process)

-- name: durations
-- Each process's waits and holds in the period, by bucket.
select process, kind, bucket::int, sum(number::bigint)::bigint as number
from opsbook.pool_samples
cross join lateral (
    select 'waits' as kind, key as bucket, value as number from jsonb_each_text(waits)
    union all
    select 'holds', key, value from jsonb_each_text(holds)
) each
where at > now() - %(period)s::interval
group by process, kind, bucket

-- name: saturation
-- How full the pools on each database were, in steps up to now; of each process the fullest moment of the step.
with pools as (
    select database, process, date_bin(%(step)s::interval, at, now()) as at, max(capacity) as capacity,
        max(most_checked_out) as checked_out, max(most_wanted) as wanted, sum(timeouts) as timeouts
    from opsbook.pool_samples
    where at > now() - %(period)s::interval
    group by database, process, 3
), steps as (
    select database, at
    from (select distinct database from pools) databases
    cross join generate_series(now() - %(period)s::interval, now() - %(step)s::interval, %(step)s::interval) at
)
select s.database, s.at, sum(p.capacity)::int as capacity, coalesce(sum(p.checked_out), 0)::int as checked_out,
    coalesce(sum(p.wanted), 0)::int as wanted, coalesce(sum(p.timeouts), 0)::int as timeouts
from steps s
left join pools p using (database, at)
group by s.database, s.at
order by s.database, s.at

-- name: tidy_samples
-- Make the coming days' partitions, and drop those that nobody looks at any more.
select opsbook.make_pool_sample_days(%(ahead)s), opsbook.drop_old_pool_samples(%(kept)s)

-- name: forget_vanished
-- Processes that ended without a word.
delete from opsbook.pool_processes where reported_at < now() - interval '1 hour'

-- name: server_limits
-- How many connections the server gives, of which some are kept back; asked of the service's server.
select current_setting('max_connections')::int as max_connections,
    current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true), '0')::int as reserved

-- name: server_connections
-- Who has them, by the name that each program gives itself; what it may not see of others counts as well.
select coalesce(nullif(application_name, ''), '(unnamed)') as application, count(*)::int as connections,
    (count(*) filter (where state like 'idle in transaction%%'))::int as idle_in_transaction
from pg_stat_activity
where backend_type = 'client backend'
group by 1
order by connections desc, application

-- name: who_am_i
-- The server process that answers.
select pg_backend_pid()
