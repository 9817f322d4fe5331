-- Statements on errors. The first part, down to add_feedback, writes what arrives: locks are taken in the order of
-- keys, issues before anything that belongs to them, so that processes which write at once never wait for each other in
-- a circle; and none waits for an issue that an operator holds. The second part is for operators.

-- name: known_events
-- Which events of the last day or so are there already: SDKs send again what they saw no answer to. One event may be
-- sent to several projects.
select project_id, event_id from opsbook.error_events
where received_on >= (now() at time zone 'utc')::date - 1 and event_id = any (%(event_ids)s)

-- name: groups
-- The groups of fingerprints that are known.
select g.project_id, g.hash, g.id, g.issue_id
from unnest(%(projects)s::bigint[], %(hashes)s::bytea[]) as k (project_id, hash)
join opsbook.error_groups g on g.project_id = k.project_id and g.hash = k.hash

-- name: new_groups
-- The groups of fingerprints that were not, made in the order in which they are given.
select made.project_id, made.hash, made.id, made.issue_id
from unnest(
    %(projects)s::bigint[], %(hashes)s::bytea[], %(parts)s::text[], %(titles)s::text[], %(culprits)s::text[],
    %(levels)s::text[], %(platforms)s::text[], %(releases)s::text[], %(seen)s::timestamptz[]
) with ordinality as f (project_id, hash, parts, title, culprit, level, platform, release, seen, number)
cross join lateral opsbook.new_error_group(
    f.project_id, f.hash, f.parts::jsonb, f.title, f.culprit, f.level, f.platform, f.release, f.seen
) made
order by f.number

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

-- name: hold_groups
-- Hold issues and their groups to count for them; gives the groups of which nobody else holds either.
with issues as materialized (
    select id from opsbook.error_issues where id = any (%(issues)s) order by id for no key update skip locked
)
select g.id
from issues
join opsbook.error_groups g on g.issue_id = issues.id
where g.id = any (%(groups)s)
order by g.id
for no key update of g skip locked

-- name: count
-- Add to everything that is counted of the events of a transaction, and of what is pending of the same groups, which
-- are held: whom groups met, groups, trend lines, and the issues, of which those that were resolved or ignored may come
-- back. Gives what each issue had in this hour before.
with pending as (
    delete from opsbook.error_pending_counts where group_id = any (%(held)s) returning *
),
tallies as (
    select t.*, true as is_new
    from unnest(
        %(groups)s::bigint[], %(minutes)s::timestamptz[], %(events)s::bigint[], %(first_seen)s::timestamptz[],
        %(last_seen)s::timestamptz[], %(releases)s::text[]
    ) as t (group_id, minute, events, first_seen, last_seen, release)
    union all
    select group_id, minute, events, first_seen, last_seen, release, false from pending
),
met as (
    insert into opsbook.error_group_people (group_id, person)
    select m.group_id, m.person
    from unnest(%(people_groups)s::bigint[], %(people)s::bigint[]) as m (group_id, person)
    union
    select group_id, unnest(people) from pending
    order by group_id, person
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
    select group_id, minute, sum(events) from tallies group by group_id, minute order by group_id, minute
    on conflict (group_id, minute) do update set events = held.events + excluded.events
),
sums as (
    select group_id, sum(events) as events, min(first_seen) as first_seen, max(last_seen) as last_seen,
        (array_agg(release order by last_seen desc) filter (where release is not null))[1] as release,
        coalesce(sum(events) filter (where is_new), 0) as new_events,
        coalesce(sum(events) filter (where is_new or minute >= date_trunc('hour', now())), 0) as hour_events
    from tallies
    group by group_id
),
added as (
    update opsbook.error_groups g
    set events = g.events + t.events,
        first_seen = least(g.first_seen, t.first_seen),
        last_seen = greatest(g.last_seen, t.last_seen)
    from sums t
    where g.id = t.group_id
    returning g.issue_id, t.*
),
issues as (
    select issue_id, sum(events) as events, min(first_seen) as first_seen, max(last_seen) as last_seen,
        (array_agg(release order by last_seen desc) filter (where release is not null))[1] as release,
        sum(new_events) as new_events, sum(hour_events) as hour_events
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
    flood_events = t.hour_events + case when i.flood_hour = date_trunc('hour', now()) then i.flood_events else 0 end
from issues t
left join people p on p.issue_id = t.issue_id
where i.id = t.issue_id
returning i.id, (i.flood_events - t.new_events)::bigint as before

-- name: leave_pending
-- Leave to be counted later what belongs to groups that somebody else holds. Gives what each issue had in this hour
-- before, as far as that is known.
with left_for_later as (
    insert into opsbook.error_pending_counts (
        group_id, minute, events, people, first_seen, last_seen, release, project_id, hash, parts, title, culprit,
        level, platform
    )
    select t.group_id, t.minute, t.events,
        array(
            select m.person from unnest(%(people_groups)s::bigint[], %(people)s::bigint[]) as m (group_id, person)
            where m.group_id = t.group_id
        ),
        t.first_seen, t.last_seen, t.release, t.project_id, t.hash, t.parts::jsonb, t.title, t.culprit, t.level, t.platform
    from unnest(
        %(groups)s::bigint[], %(minutes)s::timestamptz[], %(events)s::bigint[], %(first_seen)s::timestamptz[],
        %(last_seen)s::timestamptz[], %(releases)s::text[], %(projects)s::bigint[], %(hashes)s::bytea[],
        %(parts)s::text[], %(titles)s::text[], %(culprits)s::text[], %(levels)s::text[], %(platforms)s::text[]
    ) as t (
        group_id, minute, events, first_seen, last_seen, release, project_id, hash, parts, title, culprit, level, platform
    )
)
select i.id,
    (
        case when i.flood_hour = date_trunc('hour', now()) then i.flood_events else 0 end + coalesce((
            select sum(p.events) from opsbook.error_pending_counts p
            join opsbook.error_groups g on g.id = p.group_id
            where g.issue_id = i.id and p.minute >= date_trunc('hour', now())
        ), 0)
    )::bigint as before
from opsbook.error_issues i
where i.id = any (%(issues)s)

-- name: revive_groups
-- Make groups anew that were deleted while events of theirs were on their way.
select opsbook.revive_error_groups()

-- name: pending_groups
-- Groups of which something is pending; in no order, so that those which somebody holds keep no others waiting.
select g.id, g.issue_id
from opsbook.error_groups g
where g.id in (select group_id from opsbook.error_pending_counts)
order by random()
limit %(limit)s

-- name: hold_pending
-- Whether this transaction is the one that counts what is pending; another may be at it.
select pg_try_advisory_xact_lock(hashtext('opsbook.error_pending_counts')) as is_ours

-- name: copy_events
-- The events themselves.
copy opsbook.error_events (
    received_on, event_id, group_id, project_id, occurred_at, received_at, stands_for, level, platform, environment,
    release, transaction, user_id, trace_id, message, tags, payload, payload_bytes
) from stdin

-- name: add_attachments
-- Files of events that are kept, and of each only so many: of a flood most events are not, and neither are their files.
insert into opsbook.error_attachments (
    received_on, project_id, event_id, filename, content_type, attachment_type, bytes, content
)
select (now() at time zone 'utc')::date, a.project_id, a.event_id, a.filename, a.content_type, a.attachment_type, a.bytes, a.content
from unnest(
    %(projects)s::bigint[], %(events)s::uuid[], %(filenames)s::text[], %(content_types)s::text[], %(types)s::text[],
    %(sizes)s::int[], %(contents)s::bytea[]
) with ordinality as a (project_id, event_id, filename, content_type, attachment_type, bytes, content, number)
where exists (
        select from opsbook.error_events e
        where e.received_on >= (now() at time zone 'utc')::date - 1
            and e.event_id = a.event_id and e.project_id = a.project_id
    )
    and %(most)s > (select count(*) from opsbook.error_attachments held where held.event_id = a.event_id) + (
        select count(*) from unnest(%(events)s::uuid[]) with ordinality as earlier (event_id, number)
        where earlier.event_id = a.event_id and earlier.number < a.number
    )
returning project_id, bytes

-- name: add_feedback
-- What people wrote; sent twice it is kept once.
insert into opsbook.error_feedback (project_id, event_id, received_at, name, email, message, url)
select f.project_id, f.event_id, f.received_at, f.name, f.email, f.message, f.url
from unnest(
    %(projects)s::bigint[], %(events)s::uuid[], %(received)s::timestamptz[], %(names)s::text[], %(emails)s::text[],
    %(messages)s::text[], %(urls)s::text[]
) as f (project_id, event_id, received_at, name, email, message, url)
order by f.project_id, f.event_id, f.message
on conflict do nothing

-- name: event_filter
-- Which events are asked for; stands in the statements that look for events. A null is a question not asked.
(%(project)s::bigint is null or e.project_id = %(project)s)
    and (%(group)s::bigint is null or e.group_id = %(group)s)
    and (%(groups)s::bigint[] is null or e.group_id = any (%(groups)s))
    and (%(since)s::timestamptz is null or (
        e.occurred_at >= %(since)s and e.received_on >= (%(since)s::timestamptz at time zone 'utc')::date - 1
    ))
    and (%(until)s::timestamptz is null or (
        -- An event is received 30 days after it occurred at the latest, by what the intake believes.
        e.occurred_at < %(until)s and e.received_on <= (%(until)s::timestamptz at time zone 'utc')::date + 31
    ))
    and (%(endpoint)s::text is null or e.transaction = %(endpoint)s)
    and (%(user)s::text is null or e.user_id = %(user)s)
    and (%(release)s::text is null or e.release = %(release)s)
    and (%(environment)s::text is null or e.environment = %(environment)s)
    and (%(level)s::text is null or e.level = %(level)s)
    and (%(trace)s::uuid is null or e.trace_id = %(trace)s)
    and (%(tags)s::jsonb is null or e.tags @> %(tags)s)
    and (%(text)s::text is null or e.message ilike %(text)s)

-- name: events
-- Events that match, newest first.
select e.event_id, g.issue_id, e.project_id, e.occurred_at, e.received_at, e.level, e.environment, e.release,
    e.transaction as endpoint, e.user_id, e.trace_id, e.message, e.tags, e.stands_for
from opsbook.error_events e
join opsbook.error_groups g on g.id = e.group_id
where {event_filter}
    and (%(before)s::timestamptz is null or (e.occurred_at, e.event_id) < (%(before)s, %(before_id)s::uuid))
order by e.occurred_at desc, e.event_id desc
limit %(limit)s

-- name: group_ids
-- The groups of an issue, by number alone.
select id from opsbook.error_groups where issue_id = %(issue)s

-- name: event
-- One event, whole.
select e.*, e.transaction as endpoint, g.issue_id, g.parts
from opsbook.error_events e
join opsbook.error_groups g on g.id = e.group_id
where e.event_id = %(event_id)s
limit 1

-- name: neighbours
-- The events of the same issue right before and after one.
select
    (
        select e.event_id from opsbook.error_events e
        where e.group_id = any (%(groups)s) and (e.occurred_at, e.event_id) < (%(occurred_at)s, %(event_id)s)
        order by e.occurred_at desc, e.event_id desc limit 1
    ) as older,
    (
        select e.event_id from opsbook.error_events e
        where e.group_id = any (%(groups)s) and (e.occurred_at, e.event_id) > (%(occurred_at)s, %(event_id)s)
        order by e.occurred_at, e.event_id limit 1
    ) as newer

-- name: attachments
-- The files of an event, without their content.
select id, filename, content_type, attachment_type, bytes
from opsbook.error_attachments where event_id = %(event_id)s order by id

-- name: attachment
-- One file.
select filename, content_type, content from opsbook.error_attachments
where event_id = %(event_id)s and id = %(id)s

-- name: feedback
-- What people wrote about an event.
select received_at, name, email, message, url
from opsbook.error_feedback where event_id = %(event_id)s order by id

-- name: issues
-- Issues that match, the one seen last first.
select i.*
from opsbook.error_issues i
where {issue_filter}
    and (%(before)s::timestamptz is null or (i.last_seen, i.id) < (%(before)s, %(before_id)s::bigint))
order by i.last_seen desc, i.id desc
limit %(limit)s

-- name: issue_filter
-- Which issues are asked for.
(%(project)s::bigint is null or i.project_id = %(project)s)
    and {status_filter}
    and (%(level)s::text is null or i.level = %(level)s)
    and (%(assignee)s::text is null or i.assignee = %(assignee)s)
    and (%(text)s::text is null or i.title ilike %(text)s or i.culprit ilike %(text)s)

-- name: status_filter
-- Which status is asked for: regressed issues are those unresolved ones that were resolved before; null is any.
case %(status)s::text
    when 'regressed' then i.status = 'unresolved' and i.regressed_at is not null
    else case when %(status)s::text is null then i.status <> 'merged' else i.status = %(status)s end
end

-- name: issue_counts
-- Of the issues that match, how many are in each status; more than a thousand of one are not counted.
select
    (
        select count(*) from (select from opsbook.error_issues i where i.status = 'unresolved' and {issue_filter} limit 1000) _
    ) as unresolved,
    (
        select count(*) from (
            select from opsbook.error_issues i
            where i.status = 'unresolved' and i.regressed_at is not null and {issue_filter} limit 1000
        ) _
    ) as regressed,
    (
        select count(*) from (select from opsbook.error_issues i where i.status = 'ignored' and {issue_filter} limit 1000) _
    ) as ignored,
    (
        select count(*) from (select from opsbook.error_issues i where i.status = 'resolved' and {issue_filter} limit 1000) _
    ) as resolved

-- name: issue_counts_of_events
-- So of the issues that have events which match, by those among the newest 10,000.
with found as (
    select e.group_id
    from opsbook.error_events e
    where {event_filter}
    order by e.occurred_at desc
    limit 10000
)
select count(*) filter (where i.status = 'unresolved') as unresolved,
    count(*) filter (where i.status = 'unresolved' and i.regressed_at is not null) as regressed,
    count(*) filter (where i.status = 'ignored') as ignored,
    count(*) filter (where i.status = 'resolved') as resolved
from opsbook.error_issues i
where i.id in (select g.issue_id from found join opsbook.error_groups g on g.id = found.group_id)
    and (%(assignee)s::text is null or i.assignee = %(assignee)s)

-- name: issues_of_events
-- Issues that match and have events that do, by those among the newest 10,000; `matching` counts them.
with found as (
    select e.group_id, e.occurred_at, e.stands_for
    from opsbook.error_events e
    where {event_filter}
    order by e.occurred_at desc
    limit 10000
),
matched as (
    select g.issue_id, sum(found.stands_for) as matching, max(found.occurred_at) as newest
    from found
    join opsbook.error_groups g on g.id = found.group_id
    group by g.issue_id
)
select i.*, m.matching
from matched m
join opsbook.error_issues i on i.id = m.issue_id
where {status_filter}
    and (%(assignee)s::text is null or i.assignee = %(assignee)s)
    and (%(before)s::timestamptz is null or (i.last_seen, i.id) < (%(before)s, %(before_id)s::bigint))
order by i.last_seen desc, i.id desc
limit %(limit)s

-- name: issue
-- One issue.
select i.*, p.name as project from opsbook.error_issues i
join opsbook.error_projects p on p.id = i.project_id
where i.id = %(id)s

-- name: issue_groups
-- The groups of an issue.
select id, encode(hash, 'hex') as fingerprint, parts, events, first_seen, last_seen
from opsbook.error_groups where issue_id = %(id)s order by last_seen desc, id

-- name: trend
-- How often an issue occurred, in equal steps up to now.
select date_bin(%(step)s::interval, m.minute, '2000-01-01T00:00:00Z') as began_at, sum(m.events)::bigint as events
from opsbook.error_group_minutes m
join opsbook.error_groups g on g.id = m.group_id
where g.issue_id = %(id)s and m.minute >= now() - %(period)s::interval
group by began_at
order by began_at

-- name: trends
-- The same of several issues.
select g.issue_id, date_bin(%(step)s::interval, m.minute, '2000-01-01T00:00:00Z') as began_at,
    sum(m.events)::bigint as events
from opsbook.error_group_minutes m
join opsbook.error_groups g on g.id = m.group_id
where g.issue_id = any (%(issues)s) and m.minute >= now() - %(period)s::interval
group by g.issue_id, began_at

-- name: unattended
-- Issues that nobody looks after yet: those that came back, then those of the last day, the newest first.
(
    select i.* from opsbook.error_issues i
    where i.status = 'unresolved' and i.regressed_at is not null and i.assignee is null
    order by i.regressed_at desc limit %(limit)s
)
union all
(
    select i.* from opsbook.error_issues i
    where i.status = 'unresolved' and i.regressed_at is null and i.assignee is null
        and i.first_seen > now() - interval '1 day'
    order by i.first_seen desc limit %(limit)s
)
limit %(limit)s

-- name: announce_events
-- Tell who shows errors that events came; any number tells it, if it is another than the last.
select pg_notify('opsbook', 'error_events:' || (extract(epoch from clock_timestamp()) * 1000000)::bigint)

-- name: top_values
-- Which values an issue's newest thousand events have most often.
select field, value, sum(stands_for)::bigint as events
from (
    select e.* from opsbook.error_events e
    where e.group_id = any (array(select id from opsbook.error_groups where issue_id = %(id)s))
    order by e.occurred_at desc
    limit 1000
) newest
cross join lateral (
    values ('environment', newest.environment), ('release', newest.release), ('endpoint', newest.transaction),
        ('user', newest.user_id), ('level', newest.level)
    union all
    select 'tag ' || key, tag.value from jsonb_each_text(newest.tags) tag
) as of_event (field, value)
where value is not null
group by field, value
order by field, events desc, value

-- name: comments
-- What operators wrote about an issue.
select id, created_at, actor, text from opsbook.error_issue_comments where issue_id = %(id)s order by id

-- name: resolve
-- Done with, until it comes back.
update opsbook.error_issues
set status = 'resolved', resolved_in_next_release = %(in_next_release)s
where id = %(id)s and status <> 'merged'
returning *

-- name: ignore
-- Not to be seen until a time, or so many more events or people.
update opsbook.error_issues
set status = 'ignored', ignored_until = %(until)s, ignored_until_events = events + %(events)s,
    ignored_until_people = people + %(people)s
where id = %(id)s and status <> 'merged'
returning *

-- name: reopen
-- To be looked at again.
update opsbook.error_issues set status = 'unresolved' where id = %(id)s and status <> 'merged' returning *

-- name: assign
-- Who looks after it; null for nobody.
update opsbook.error_issues set assignee = %(assignee)s where id = %(id)s and status <> 'merged' returning *

-- name: comment
-- Something to know about it, in the name of whoever acts.
insert into opsbook.error_issue_comments (issue_id, actor, text)
select id, (opsbook.acting()).actor, %(text)s from opsbook.error_issues where id = %(id)s and status <> 'merged'
returning id, created_at, actor, text

-- name: last_decision
-- The newest record of an issue, which can be undone as long as it is that.
select id, created_at, action, actor, before, after, reason
from opsbook.security_audit
where target_kind = 'error_issue' and target = %(id)s::text
order by id desc limit 1

-- name: lock_issue
-- Hold one issue until something is decided about it.
select id from opsbook.error_issues where id = %(id)s for update

-- name: undo
-- What an issue was before a decision, as its record in the audit has it.
update opsbook.error_issues i
set status = b.status, assignee = b.assignee, regressed_at = b.regressed_at,
    resolved_in_next_release = b.resolved_in_next_release, ignored_until = b.ignored_until,
    ignored_until_events = b.ignored_until_events, ignored_until_people = b.ignored_until_people
from opsbook.security_audit a
cross join lateral jsonb_populate_record(null::opsbook.error_issues, a.before) b
where i.id = %(id)s and i.status <> 'merged' and a.id = %(record)s and a.action = 'error_issue.change'
    and a.target_kind = 'error_issue' and a.target = i.id::text and b.status <> 'merged'
returning i.*

-- name: uncomment
-- Take back what somebody wrote themselves.
delete from opsbook.error_issue_comments
where issue_id = %(id)s and id = %(comment)s and actor = (opsbook.acting()).actor
returning id

-- name: merge
-- Make several one.
select opsbook.merge_error_issues(%(target)s, %(sources)s)

-- name: split
-- Take groups out into an issue of their own.
select opsbook.split_error_issue(%(id)s, %(groups)s) as made

-- name: delete_issue
-- Forget an issue and its events.
select id from opsbook.delete_error_issue(%(id)s) as id where id is not null

-- name: projects
-- Every project, with what it sent within a day.
select p.*, coalesce(day.events, 0)::bigint as events_of_day
from opsbook.error_projects p
left join (
    select project_id, sum(items) as events from opsbook.error_item_counts
    where category = 'error' and outcome = 'accepted' and minute > now() - interval '1 day'
    group by project_id
) day on day.project_id = p.id
order by p.id

-- name: create_project
-- A new project.
insert into opsbook.error_projects (name, events_per_minute, events_per_hour, events_per_day, megabytes_per_day)
values (%(name)s, %(events_per_minute)s, %(events_per_hour)s, %(events_per_day)s, %(megabytes_per_day)s)
on conflict (name) do nothing
returning *

-- name: set_quotas
-- How much a project may send.
update opsbook.error_projects
set events_per_minute = %(events_per_minute)s, events_per_hour = %(events_per_hour)s,
    events_per_day = %(events_per_day)s, megabytes_per_day = %(megabytes_per_day)s
where name = %(name)s
returning *

-- name: keys
-- Every key, or those of a project.
select k.public_key, p.name as project, k.project_id, k.label, k.created_at, k.disabled_at
from opsbook.error_project_keys k
join opsbook.error_projects p on p.id = k.project_id
where %(project)s::text is null or p.name = %(project)s
order by p.id, k.created_at, k.public_key

-- name: key_in_use
-- The oldest key of a project that is not disabled.
select public_key from opsbook.error_project_keys
where project_id = %(project)s and disabled_at is null
order by created_at, public_key
limit 1

-- name: create_key
-- A new key of a project.
insert into opsbook.error_project_keys (project_id, label)
select id, %(label)s from opsbook.error_projects where name = %(project)s
returning public_key, project_id, label, created_at, disabled_at

-- name: set_key
-- Have a key refused, or let it in again.
update opsbook.error_project_keys
set disabled_at = case when %(disabled)s then coalesce(disabled_at, now()) end
where public_key = %(public_key)s
returning public_key, project_id, label, created_at, disabled_at

-- name: item_counts
-- What became of what was sent, within a time.
select p.name as project, c.category, c.outcome, c.reason, sum(c.items)::bigint as items
from opsbook.error_item_counts c
join opsbook.error_projects p on p.id = c.project_id
where c.minute > now() - %(period)s::interval
group by p.name, c.category, c.outcome, c.reason
order by p.name, c.category, c.outcome, c.reason

-- name: refused_by_quota
-- Which projects had something refused within the hour because their quota was used up, and how much.
select p.name, sum(c.items)::bigint as items
from opsbook.error_item_counts c
join opsbook.error_projects p on p.id = c.project_id
where c.minute > now() - interval '1 hour' and c.outcome = 'rate_limited' and c.reason = 'quota'
group by p.name
order by items desc, p.name

-- name: newest_dictionaries
-- The number of each project's newest dictionary.
select distinct on (project_id) project_id, id
from opsbook.error_dictionaries
order by project_id, made_at desc

-- name: dictionaries
-- Dictionaries by number.
select id, content from opsbook.error_dictionaries where id = any (%(ids)s)

-- name: untrained
-- Projects without a dictionary, or with one that has had its week.
select p.id from opsbook.error_projects p
where not exists (
    select from opsbook.error_dictionaries d
    where d.project_id = p.id and d.made_at > now() - %(age)s::interval
)
order by p.id

-- name: samples
-- Events to train a dictionary on: the newest of each of the groups that were seen last.
select e.payload
from (
    select id from opsbook.error_groups
    where project_id = %(project)s
    order by last_seen desc
    limit %(limit)s
) g
cross join lateral (
    select payload from opsbook.error_events
    where group_id = g.id
    order by occurred_at desc
    limit 5
) e
limit %(limit)s

-- name: add_dictionary
-- A new dictionary; its number is made from its content.
insert into opsbook.error_dictionaries (id, project_id, content)
values (%(id)s, %(project)s, %(content)s)
on conflict (id) do nothing

-- name: drop_dictionaries
-- Forget dictionaries that no event needs any more: the next was made before the oldest event was received.
delete from opsbook.error_dictionaries d
where exists (
    select from opsbook.error_dictionaries newer
    where newer.project_id = d.project_id and newer.made_at > d.made_at
        and newer.made_at < now() - make_interval(days => %(days)s + 2)
)

-- name: make_partitions
-- The coming days' partitions.
select opsbook.make_daily_partitions('error_events', %(days)s), opsbook.make_daily_partitions('error_attachments', %(days)s)

-- name: drop_old_days
-- Drop what is older than it is kept.
select opsbook.drop_old_days('error_events', %(days)s), opsbook.drop_old_days('error_attachments', %(days)s)

-- name: tidy
-- Forget trend lines and counts of long ago, and what people wrote about events that are gone.
with minutes as (delete from opsbook.error_group_minutes where minute < now() - %(kept)s::interval),
feedback as (delete from opsbook.error_feedback where received_at < now() - make_interval(days => %(days)s))
delete from opsbook.error_item_counts where minute < now() - %(kept)s::interval

-- name: quiet_issues
-- Issues of which nothing was seen for as long as they are kept, and no event is left.
select i.id from opsbook.error_issues i
where i.id > %(after)s and i.last_seen < now() - make_interval(days => %(days)s)
    and opsbook.is_quiet(i, %(days)s, %(decided_days)s)
order by i.id
limit %(limit)s

-- name: groups_of_issues
-- The groups of several issues.
select id from opsbook.error_groups where issue_id = any (%(issues)s) order by id

-- name: forget_people
-- Whom groups met, so many at once.
delete from opsbook.error_group_people
where (group_id, person) in (
    select group_id, person from opsbook.error_group_people where group_id = any (%(groups)s) limit %(limit)s
)

-- name: forget_minutes
-- Their trend lines, so many rows at once.
delete from opsbook.error_group_minutes
where (group_id, minute) in (
    select group_id, minute from opsbook.error_group_minutes where group_id = any (%(groups)s) limit %(limit)s
)

-- name: forget_issues
-- Forget issues that are still quiet.
select opsbook.forget_quiet_error_issues(%(issues)s, %(days)s, %(decided_days)s) as forgotten

-- name: quiet_groups_with_people
-- Groups of which no event is left, of issues that are kept, and still whom they met.
select g.id from opsbook.error_groups g
where g.last_seen < now() - make_interval(days => %(days)s)
    and exists (select from opsbook.error_group_people p where p.group_id = g.id)
    and not exists (select from opsbook.error_events e where e.group_id = g.id)
limit %(limit)s

-- name: forget_releases
-- Releases of long ago of which no event is left, and that no issue names, so many at once.
with named as (
    select project_id, first_release as release from opsbook.error_issues
    union
    select project_id, last_release from opsbook.error_issues
    union
    select project_id, resolved_release from opsbook.error_issues
)
delete from opsbook.error_releases
where (project_id, release) in (
    select r.project_id, r.release
    from opsbook.error_releases r
    where greatest(r.first_seen, r.released_at) < now() - make_interval(days => %(decided_days)s)
        and not exists (select from named n where n.project_id = r.project_id and n.release = r.release)
        and not exists (
            select from opsbook.error_events e where e.project_id = r.project_id and e.release = r.release
        )
    limit %(limit)s
)
