-- Statements on errors. The first part writes what arrives: locks are taken in the order of keys, issues before
-- anything that belongs to them, so that processes which write at once never wait for each other in a circle.

-- name: hold_groups
-- Keep groups with their issues until this transaction ends.
select opsbook.hold_error_groups(false)

-- name: known_events
-- Which events of the last day or so are there already: SDKs send again what they saw no answer to.
select event_id from opsbook.error_events
where received_on >= (now() at time zone 'utc')::date - 1 and event_id = any (%(event_ids)s)

-- name: groups
-- The groups of fingerprints that are known.
select g.project_id, g.hash, g.id, g.issue_id
from unnest(%(projects)s::bigint[], %(hashes)s::bytea[]) as k (project_id, hash)
join opsbook.error_groups g on g.project_id = k.project_id and g.hash = k.hash

-- name: new_group
-- The group of a fingerprint that was not.
select id, issue_id from opsbook.new_error_group(
    %(project_id)s, %(hash)s, %(parts)s::jsonb, %(title)s, %(culprit)s, %(level)s, %(platform)s, %(release)s,
    %(occurred_at)s
)

-- name: add_releases
-- Releases seen for the first time.
insert into opsbook.error_releases (project_id, release, first_seen)
select r.project_id, r.release, now()
from unnest(%(projects)s::bigint[], %(releases)s::text[]) as r (project_id, release)
where not exists (
    select from opsbook.error_releases known where known.project_id = r.project_id and known.release = r.release
)
order by r.project_id, r.release
on conflict do nothing
returning project_id, release

-- name: lock_issues
-- Hold the issues that are about to be counted for.
select from opsbook.error_issues where id = any (%(issues)s) order by id for update

-- name: count
-- Add to everything that is counted of the events of a transaction: whom groups met, groups, trend lines, and the
-- issues, of which those that were resolved or ignored may come back. Gives what each issue had in this hour before.
with met as (
    insert into opsbook.error_group_people (group_id, person)
    select m.group_id, m.person
    from unnest(%(people_groups)s::bigint[], %(people)s::bigint[]) as m (group_id, person)
    order by m.group_id, m.person
    on conflict do nothing
    returning group_id, person
),
people as (
    select g.issue_id, count(distinct met.person) as people
    from met
    join opsbook.error_groups g on g.id = met.group_id
    where not exists (
        select from opsbook.error_groups other
        join opsbook.error_group_people earlier on earlier.group_id = other.id and earlier.person = met.person
        where other.issue_id = g.issue_id and other.id <> g.id
    )
    group by g.issue_id
),
minutes as (
    insert into opsbook.error_group_minutes as held (group_id, minute, events)
    select t.group_id, t.minute, t.events
    from unnest(%(minute_groups)s::bigint[], %(minutes)s::timestamptz[], %(minute_events)s::bigint[])
        as t (group_id, minute, events)
    order by t.group_id, t.minute
    on conflict (group_id, minute) do update set events = held.events + excluded.events
),
added as (
    update opsbook.error_groups g
    set events = g.events + t.events,
        first_seen = least(g.first_seen, t.first_seen),
        last_seen = greatest(g.last_seen, t.last_seen)
    from unnest(
        %(groups)s::bigint[], %(events)s::bigint[], %(first_seen)s::timestamptz[], %(last_seen)s::timestamptz[],
        %(releases)s::text[]
    ) as t (id, events, first_seen, last_seen, release)
    where g.id = t.id
    returning g.issue_id, t.*
),
issues as (
    select issue_id, sum(events) as events, min(first_seen) as first_seen, max(last_seen) as last_seen,
        (array_agg(release order by last_seen desc) filter (where release is not null))[1] as release
    from added
    group by issue_id
)
update opsbook.error_issues i
set events = i.events + t.events,
    people = i.people + coalesce(p.people, 0),
    first_seen = least(i.first_seen, t.first_seen),
    last_seen = greatest(i.last_seen, t.last_seen),
    first_release = coalesce(i.first_release, t.release),
    last_release = coalesce(t.release, i.last_release),
    flood_hour = date_trunc('hour', now()),
    flood_events = t.events + case when i.flood_hour = date_trunc('hour', now()) then i.flood_events else 0 end
from issues t
left join people p on p.issue_id = t.issue_id
where i.id = t.issue_id
returning i.id, i.flood_events - t.events as before

-- name: copy_events
-- The events themselves.
copy opsbook.error_events (
    received_on, event_id, group_id, project_id, occurred_at, received_at, stands_for, level, platform, environment,
    release, transaction, user_id, trace_id, message, tags, payload, payload_bytes
) from stdin

-- name: add_attachments
-- Files of events.
insert into opsbook.error_attachments (
    received_on, project_id, event_id, filename, content_type, attachment_type, bytes, content
)
select (now() at time zone 'utc')::date, a.project_id, a.event_id, a.filename, a.content_type, a.attachment_type, a.bytes, a.content
from unnest(
    %(projects)s::bigint[], %(events)s::uuid[], %(filenames)s::text[], %(content_types)s::text[], %(types)s::text[],
    %(sizes)s::int[], %(contents)s::bytea[]
) as a (project_id, event_id, filename, content_type, attachment_type, bytes, content)

-- name: add_feedback
-- What people wrote; sent twice it is kept once.
insert into opsbook.error_feedback (project_id, event_id, received_at, name, email, message, url)
select f.project_id, f.event_id, f.received_at, f.name, f.email, f.message, f.url
from unnest(
    %(projects)s::bigint[], %(events)s::uuid[], %(received)s::timestamptz[], %(names)s::text[], %(emails)s::text[],
    %(messages)s::text[], %(urls)s::text[]
) as f (project_id, event_id, received_at, name, email, message, url)
order by f.project_id, f.event_id
on conflict do nothing

