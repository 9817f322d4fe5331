-- Statements on log lines, their writers, and log levels.

-- name: do_not_wait_for_disk
-- Lines are not worth a wait for the disk: a crash of the server itself may cost its last half second of them.
set synchronous_commit = off

-- name: introduce
-- A process that begins to send lines.
insert into opsbook.log_writers (host, process_id, program, environment, release)
values (%(host)s, %(process_id)s, %(program)s, %(environment)s, %(release)s)
returning id

-- name: known
-- Whether a writer still is who it was: after a restore its number may be another's.
select id from opsbook.log_writers where id = %(writer)s and host = %(host)s and process_id = %(process_id)s

-- name: be_seen
-- Note, at most every ten seconds, that this writer sends lines; one that was silent until it was forgotten is known
-- again.
insert into opsbook.log_writers as known (id, host, process_id, program, environment, release)
overriding system value
values (%(writer)s, %(host)s, %(process_id)s, %(program)s, %(environment)s, %(release)s)
on conflict (id) do update set seen_at = now() where known.seen_at < now() - interval '10 seconds'

-- name: copy
-- The writer's next lines, in their order.
copy opsbook.log_lines (
    writer, number, logged_at, level, logger, message, fields, exception, request_id, trace_id, user_id
) from stdin

-- name: search
-- Lines that match every given filter, newest first.
select l.writer, l.number, l.logged_at, l.level, l.logger, l.message, l.fields, l.exception,
    l.request_id, replace(l.trace_id::text, '-', '') as trace_id, l.user_id, w.host, w.process_id, w.program, w.release
from opsbook.log_lines l
left join opsbook.log_writers w on w.id = l.writer
where opsbook.log_line_is_wanted(
        l, %(levels)s, %(logger)s, %(request)s, %(trace)s, %(user)s, %(text)s, %(fields)s
    )
    and (%(since)s::timestamptz is null or l.logged_at >= %(since)s)
    and (%(until)s::timestamptz is null or l.logged_at < %(until)s)
    and (
        %(before_time)s::timestamptz is null
        or (l.logged_at, l.writer, l.number) < (%(before_time)s, %(before_writer)s, %(before_number)s)
    )
order by l.logged_at desc, l.writer desc, l.number desc
limit %(limit)s

-- name: now
-- The database's clock, by which lines are received.
select now() as now

-- name: newer
-- Each writer's next lines after those that the reader has, at most so many of each; a writer without a wanted line
-- among them has one row that says how far it was looked through. Lines that were received before the floor are not
-- looked at: neither are the partitions of days before it. Of a writer without a mark they are found to end by going
-- back from its last line, for there may be millions.
with writers as materialized (
    select w.id,
        coalesce(
            (%(marks)s::jsonb ->> w.id::text)::bigint,
            (
                select l.number
                from opsbook.log_lines l
                where l.writer = w.id
                    and l.received_on >= (%(floor)s::timestamptz at time zone 'utc')::date
                    and l.received_at < %(floor)s::timestamptz
                order by l.number desc
                limit 1
            ),
            0
        ) as mark
    from opsbook.log_writers w
    where w.seen_at >= %(floor)s::timestamptz - interval '30 seconds'
),
fresh as materialized (
    select l.*
    from writers
    cross join lateral (
        select l.*
        from opsbook.log_lines l
        where l.writer = writers.id
            and l.number > writers.mark
            and l.received_on >= (%(floor)s::timestamptz at time zone 'utc')::date
            and l.received_at >= %(floor)s::timestamptz
        order by l.number
        limit %(limit)s
    ) l
),
looked_through as (
    select writer, max(number) as number, count(*) as lines from fresh group by writer
)
select t.writer, t.number as looked_through, t.lines = %(limit)s as is_behind, now() as now,
    l.number, l.logged_at, l.level, l.logger, l.message, l.fields, l.exception,
    l.request_id, replace(l.trace_id::text, '-', '') as trace_id, l.user_id, w.host, w.process_id, w.program, w.release
from looked_through t
join opsbook.log_writers w on w.id = t.writer
left join fresh l on l.writer = t.writer
    and opsbook.log_line_is_wanted(
        l::opsbook.log_lines, %(levels)s, %(logger)s, %(request)s, %(trace)s, %(user)s, %(text)s, %(fields)s
    )
order by l.logged_at, l.writer, l.number

-- name: levels
-- The levels that operators have set, with the seconds that each has left.
select logger, level, until, reason, set_by, set_at, extract(epoch from until - now())::float8 as seconds_left
from opsbook.log_levels
where until > now()
order by logger <> 'root', logger

-- name: set_level
-- A level for a while; an earlier one of the same logger is replaced.
insert into opsbook.log_levels as held (logger, level, until, reason)
values (%(logger)s, %(level)s, now() + %(period)s, %(reason)s)
on conflict (logger) do update set level = excluded.level, until = excluded.until, reason = excluded.reason
returning logger, level, until, reason, set_by, set_at, extract(epoch from until - now())::float8 as seconds_left

-- name: end_level
-- Go back now.
delete from opsbook.log_levels where logger = %(logger)s and until > now() returning logger, level

-- name: end_due_levels
-- Levels whose time is over: every process went back by its own clock.
delete from opsbook.log_levels where until <= now()

-- name: make_days
-- The partitions of the coming days.
select opsbook.make_daily_partitions('log_lines', %(days)s)

-- name: drop_old_days
-- Lines that are kept no longer.
select opsbook.drop_old_days('log_lines', %(days)s)

-- name: forget_writers
-- Processes none of whose lines are left.
delete from opsbook.log_writers where seen_at < now() - make_interval(days => %(days)s + 1)
