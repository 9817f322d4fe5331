-- Statements of the intake.

-- name: keys
-- Every key with its project's quotas; processes hold them all.
select k.public_key, k.project_id, k.disabled_at is not null as is_disabled,
    p.events_per_minute, p.events_per_hour, p.events_per_day, p.megabytes_per_day
from opsbook.error_project_keys k
join opsbook.error_projects p on p.id = k.project_id

-- name: add_counts
-- What became of items, added to this minute's counts; in one order, so that processes never wait for each other
-- in a circle. Projects that are gone by now are passed over.
insert into opsbook.error_item_counts as held (minute, project_id, category, outcome, reason, items)
select date_trunc('minute', now()), c.project_id, c.category, c.outcome, c.reason, c.items
from unnest(%(projects)s::bigint[], %(categories)s::text[], %(outcomes)s::text[], %(reasons)s::text[], %(items)s::bigint[])
    as c (project_id, category, outcome, reason, items)
join opsbook.error_projects p on p.id = c.project_id
order by c.project_id, c.category, c.outcome, c.reason
on conflict (minute, project_id, category, outcome, reason) do update set items = held.items + excluded.items

-- name: use_quotas
-- Events accepted and bytes kept of projects with quotas, added to their present minute, hour and day.
insert into opsbook.error_quota_use as held (project_id, period, began_at, events, bytes)
select u.project_id, period, date_trunc(period, now()), u.events, u.bytes
from unnest(%(projects)s::bigint[], %(events)s::bigint[], %(bytes)s::bigint[]) as u (project_id, events, bytes)
join opsbook.error_projects p on p.id = u.project_id
cross join unnest('{minute,hour,day}'::text[]) as period
order by u.project_id, period
on conflict (project_id, period) do update
set began_at = greatest(held.began_at, excluded.began_at),
    events = excluded.events + case when held.began_at >= excluded.began_at then held.events else 0 end,
    bytes = excluded.bytes + case when held.began_at >= excluded.began_at then held.bytes else 0 end
returning project_id, period, began_at, events, bytes
