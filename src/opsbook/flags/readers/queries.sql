-- Statements on the processes that follow the flags.

-- name: confirm
-- A reader serves a revision, or is still there.
select opsbook.confirm_flag_revision(%(id)s, %(host)s, %(pid)s, %(name)s, %(kind)s, %(revision)s, %(served_ms)s)

-- name: leave
-- A reader ends.
delete from opsbook.flag_readers where id = %(id)s

-- name: readers
-- Every reader that was seen lately, and whether it serves the wanted revision or a later one; left out, the newest.
-- A revision above the newest is of a database that has since been restored. One row at least, for the revision.
select
    wanted.revision as wanted, r.id, r.host, r.pid, r.name, r.kind, r.revision, r.confirmed_at, r.lag_ms,
    r.started_at, r.seen_at, r.revision between wanted.revision and wanted.newest as obeys
from (
    select coalesce(%(revision)s::bigint, newest) as revision, newest from opsbook.newest_flag_revision() newest
) wanted
left join opsbook.flag_readers r on r.seen_at > clock_timestamp() - interval '30 seconds'
order by obeys, r.host, r.name, r.pid

-- name: tidy
-- Forget readers that have long been gone.
delete from opsbook.flag_readers where seen_at < clock_timestamp() - interval '1 hour'
