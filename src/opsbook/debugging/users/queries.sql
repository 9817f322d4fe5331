-- Statements that gather what one person did. Each gives the newest first, from `since` on and below
-- (`until`, `before_key`); keys are compared byte by byte, as Python does.

-- name: only_read
-- This transaction changes nothing.
set transaction read only

-- name: bound_time
-- Nor does it hold up the service, or wait for somebody's lock. Times without a zone are taken as UTC.
select
    set_config('statement_timeout', '3s', true),
    set_config('lock_timeout', '1s', true),
    set_config('timezone', 'UTC', true)

-- name: table_state
-- Whether a table is there, and whether row level security would hide rows of it from this role.
select
    to_regclass(%(table)s) is not null as is_there,
    case when to_regclass(%(table)s) is not null then row_security_active(to_regclass(%(table)s)) end as hides_rows

-- name: service_rows
-- A person's rows of a table of the service, whichever columns it has for that.
select {time}::timestamptz as at, {key}::text as key, {columns}
from {table}
where {user} = %(user_id)s
    and {time} >= %(since)s
    and {time} <= %(until)s
    and ({time} < %(until)s or %(before_key)s::text is null or {key}::text collate "C" < %(before_key)s)
order by {time} desc, {key}::text collate "C" desc
limit %(limit)s

-- name: errors
-- Error events that a person met.
select
    e.occurred_at as at, e.event_id::text as key, e.message, e.level, e.transaction, e.environment, e.release,
    e.trace_id, e.stands_for, g.issue_id
from opsbook.error_events e
left join opsbook.error_groups g on g.id = e.group_id
where e.user_id = %(user_id)s
    and e.occurred_at >= %(since)s
    and e.occurred_at <= %(until)s
    and (e.occurred_at < %(until)s or %(before_key)s::text is null or e.event_id::text collate "C" < %(before_key)s)
order by e.occurred_at desc, e.event_id::text collate "C" desc
limit %(limit)s

-- name: logs
-- Log lines that were written while a person was served.
select
    logged_at as at, lpad(writer::text, 10, '0') || '-' || lpad(number::text, 19, '0') as key,
    level, logger, message, fields, request_id, trace_id
from opsbook.log_lines
where user_id = %(user_id)s
    and logged_at >= %(since)s
    and logged_at <= %(until)s
    and (
        logged_at < %(until)s
        or %(before_key)s::text is null
        or (lpad(writer::text, 10, '0') || '-' || lpad(number::text, 19, '0')) collate "C" < %(before_key)s
    )
order by logged_at desc, (lpad(writer::text, 10, '0') || '-' || lpad(number::text, 19, '0')) collate "C" desc
limit %(limit)s

-- name: audit
-- Records of what a person did, and of what was done to them or looked up about them.
with found as (
    select * from opsbook.security_audit where actor = %(user_id)s
        and created_at >= %(since)s and created_at <= %(until)s
    union all
    select * from opsbook.security_audit where target_kind = any (%(about)s) and target = %(user_id)s
        and actor <> %(user_id)s and created_at >= %(since)s and created_at <= %(until)s
)
select
    created_at as at, lpad(id::text, 19, '0') as key, id, actor, actor_kind, action, target_kind, target, success,
    reason, host(ip) as ip, request_id
from found
where created_at < %(until)s or %(before_key)s::text is null or lpad(id::text, 19, '0') collate "C" < %(before_key)s
order by created_at desc, lpad(id::text, 19, '0') collate "C" desc
limit %(limit)s
