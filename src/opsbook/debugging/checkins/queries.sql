-- Statements on check-ins.

-- name: monitors
-- Monitors with when their oldest run that is still going began: all, or those of a number, a name, an environment.
select
    m.id, m.project_id, m.slug, m.environment, m.schedule, m.timezone, m.margin, m.max_runtime, m.failure_threshold,
    m.recovery_threshold, m.muted_until, m.problem, m.created_at, m.expected_after, m.last_status, m.last_at,
    m.failures, m.successes, m.failing_since, m.secret_hash is not null as has_address,
    (select min(c.started_at) from opsbook.check_ins c where c.monitor_id = m.id and c.status = 'in_progress') as open_since
from opsbook.check_in_monitors m
where (%(id)s::bigint is null or m.id = %(id)s)
    and (%(slug)s::text is null or m.slug = %(slug)s)
    and (%(environment)s::text is null or m.environment = %(environment)s)
order by m.slug, m.environment, m.project_id

-- name: lock_monitors
-- Of those keys the monitors that there are, held to the end of the transaction; always in one order.
select
    m.id, m.project_id, m.slug, m.environment, m.schedule, m.timezone, m.margin, m.max_runtime, m.failure_threshold,
    m.recovery_threshold, m.muted_until, m.problem, m.created_at, m.expected_after, m.last_status, m.last_at,
    m.failures, m.successes, m.failing_since
from opsbook.check_in_monitors m
join unnest(%(projects)s::bigint[], %(slugs)s::text[], %(environments)s::text[]) as wanted (project_id, slug, environment)
    using (project_id, slug, environment)
order by m.id
for no key update of m

-- name: add_monitors
-- Monitors that were not known, as long as their project has room for more; in one order.
insert into opsbook.check_in_monitors (project_id, slug, environment, expected_after)
select project_id, slug, environment, now()
from unnest(%(projects)s::bigint[], %(slugs)s::text[], %(environments)s::text[]) as wanted (project_id, slug, environment)
join opsbook.error_projects p on p.id = project_id
where (select count(*) from opsbook.check_in_monitors m where m.project_id = p.id) < %(most)s
order by project_id, slug, environment
on conflict (project_id, slug, environment) do nothing

-- name: who_acts
-- Who acts in this transaction, where somebody has said so.
select nullif(current_setting('opsbook.actor', true), '') as actor

-- name: report_begins
-- Say that what follows is done by a report, and by nobody who acts; or, with no name, that it is over.
select
    set_config('opsbook.actor', %(actor)s, true),
    set_config('opsbook.actor_kind', case when %(actor)s = '' then '' else 'system' end, true)

-- name: expect
-- What a monitor is expected to do from now on.
update opsbook.check_in_monitors
set schedule = %(schedule)s, timezone = %(timezone)s, margin = %(margin)s, max_runtime = %(max_runtime)s,
    failure_threshold = %(failure_threshold)s, recovery_threshold = %(recovery_threshold)s
where id = %(id)s

-- name: progress
-- How a monitor is doing, after check-ins.
update opsbook.check_in_monitors
set expected_after = greatest(expected_after, %(expected_after)s), last_status = %(last_status)s, last_at = %(last_at)s,
    failures = %(failures)s, successes = %(successes)s, failing_since = %(failing_since)s, problem = %(problem)s
where id = %(id)s

-- name: newest_open
-- The newest run of a monitor that is still going.
select id from opsbook.check_ins
where monitor_id = %(monitor_id)s and status = 'in_progress'
order by started_at desc limit 1

-- name: check_in
-- A run begins, or ends; one that has ended stays as it is, though of one that timed out it is still told how long it
-- took. Nothing is returned for a report that came before.
insert into opsbook.check_ins as held (
    monitor_id, id, status, started_at, finished_at, duration_seconds, exit_code, release, trace_id
)
values (
    %(monitor_id)s, %(id)s, %(status)s, %(started_at)s, %(finished_at)s, %(duration_seconds)s, %(exit_code)s,
    %(release)s, %(trace_id)s
)
on conflict (monitor_id, id) do update
set status = case when held.status = 'timed_out' then held.status else excluded.status end,
    finished_at = excluded.finished_at,
    duration_seconds = coalesce(
        %(told_seconds)s, greatest(0, extract(epoch from excluded.finished_at - held.started_at))
    ),
    exit_code = excluded.exit_code,
    release = coalesce(excluded.release, held.release),
    trace_id = coalesce(excluded.trace_id, held.trace_id)
where held.finished_at is null and excluded.finished_at is not null
returning status, started_at, xmax = 0 as is_new

-- name: time_out
-- Runs of monitors that are held and have gone on for too long.
update opsbook.check_ins c
set status = 'timed_out', duration_seconds = extract(epoch from %(now)s - c.started_at)
from opsbook.check_in_monitors m
where c.monitor_id = any (%(ids)s) and m.id = c.monitor_id
    and c.status = 'in_progress' and c.started_at + m.max_runtime < %(now)s
returning c.monitor_id, c.started_at + m.max_runtime as at

-- name: lock_ids
-- The same, by number.
select
    m.id, m.project_id, m.slug, m.environment, m.schedule, m.timezone, m.margin, m.max_runtime, m.failure_threshold,
    m.recovery_threshold, m.muted_until, m.problem, m.created_at, m.expected_after, m.last_status, m.last_at,
    m.failures, m.successes, m.failing_since
from opsbook.check_in_monitors m
where m.id = any (%(ids)s)
order by m.id
for no key update of m

-- name: miss
-- Runs that were expected and did not begin.
insert into opsbook.check_ins (monitor_id, status, started_at, finished_at, expected_at)
select %(monitor_id)s, 'missed', at, at, at from unnest(%(times)s::timestamptz[]) at

-- name: runs
-- The newest runs of some monitors, so many of each.
select c.*
from unnest(%(ids)s::bigint[]) as wanted (id)
cross join lateral (
    select monitor_id, id, status, started_at, finished_at, duration_seconds, expected_at, exit_code, release, trace_id
    from opsbook.check_ins
    where monitor_id = wanted.id
    order by started_at desc
    limit %(limit)s
) c
order by c.monitor_id, c.started_at desc

-- name: of_secret
-- Whose address carries this secret.
select project_id, slug, environment from opsbook.check_in_monitors where secret_hash = %(secret_hash)s

-- name: set_secret
-- A new address for a monitor, or none; the old one is no longer valid.
update opsbook.check_in_monitors set secret_hash = %(secret_hash)s where id = %(id)s returning id

-- name: mute
-- Until when it worries nobody.
update opsbook.check_in_monitors set muted_until = %(until)s where id = %(id)s returning id

-- name: delete
-- A monitor with its runs.
delete from opsbook.check_in_monitors where id = %(id)s returning id

-- name: tidy
-- Forget runs that nobody looks at any more; the newest of each monitor stay, however old.
delete from opsbook.check_ins c
where c.started_at < now() - %(kept)s::interval
    and c.started_at < (
        select started_at from opsbook.check_ins newer
        where newer.monitor_id = c.monitor_id order by started_at desc offset %(newest)s limit 1
    )
