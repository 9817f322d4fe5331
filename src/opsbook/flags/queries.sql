-- Statements on feature flags.

-- name: list
-- Every flag by name, archived ones last and only when asked for.
select * from opsbook.feature_flags
where %(archived)s or archived_at is null
order by archived_at is not null, name

-- name: get
-- One flag.
select * from opsbook.feature_flags where name = %(name)s

-- name: take_turn
-- Queue with the other writers, as the trigger on the table does; before a flag is locked.
select from opsbook.revisions where topic = 'flags' for update

-- name: lock
-- One flag, held against other writers until the transaction ends.
select * from opsbook.feature_flags where name = %(name)s for update

-- name: create
-- A new flag from whichever fields are given; the trigger numbers and records it.
insert into opsbook.feature_flags
select (jsonb_populate_record(
    null::opsbook.feature_flags,
    jsonb_build_object(
        'enabled', false, 'kill_switch', false, 'rollout_percentage', 100, 'description', '', 'tags', '[]'::jsonb,
        'rules', '[]'::jsonb, 'variants', '[]'::jsonb, 'prerequisites', '[]'::jsonb, 'revision', 0,
        'created_at', now(), 'updated_at', now(), 'value_type', 'boolean', 'off_when_expired', false,
        'requires_approval', false
    ) || %(fields)s
)).*
on conflict (name) do nothing
returning *

-- name: change
-- The given fields of a flag, the others as they are.
update opsbook.feature_flags f
set (enabled, kill_switch, rollout_percentage, description, owner, tags, value_type, rules, variants, prerequisites,
    expires_at, off_when_expired, archived_at, requires_approval) = (
    select n.enabled, n.kill_switch, n.rollout_percentage, n.description, n.owner, n.tags, n.value_type, n.rules,
        n.variants, n.prerequisites, n.expires_at, n.off_when_expired, n.archived_at,
        n.requires_approval
    from jsonb_populate_record(f, %(fields)s) n
)
where f.name = %(name)s
returning *

-- name: delete
-- Remove a flag; its history stays and undo brings it back.
delete from opsbook.feature_flags where name = %(name)s returning *

-- name: history
-- What a flag has been, newest first.
select revision, name, action, before, after, changed_at, actor, actor_kind, reason
from opsbook.feature_flag_revisions
where name = %(name)s and (%(before_revision)s::bigint is null or revision < %(before_revision)s)
order by revision desc
limit %(limit)s

-- name: state_at
-- What a flag was at a revision: its newest state no younger than that.
select revision, after
from opsbook.feature_flag_revisions
where name = %(name)s and revision <= %(revision)s
order by revision desc
limit 1

-- name: last_change
-- A flag's newest revision, with the state before it.
select revision, action, before, after
from opsbook.feature_flag_revisions
where name = %(name)s
order by revision desc
limit 1

-- name: snapshot
-- Everything a reader needs to evaluate, at one moment, with the revision of that moment. As name and text each:
-- the reader decodes them one by one, so that a bad one does not hold up the others.
select
    coalesce((select revision from opsbook.revisions where topic = 'flags'), 0) as revision,
    array(select array[f.name, to_jsonb(f)::text] from opsbook.feature_flags f order by f.name) as flags,
    array(select array[s.name, to_jsonb(s)::text] from opsbook.flag_segments s order by s.name) as segments

-- name: changes_between
-- Changes between two moments that may have changed what somebody gets, newest first, with their states as texts. Of
-- those at the very end only the ones with lower revisions, or all.
select revision, name, before::text, after::text, changed_at, actor, reason
from opsbook.feature_flag_revisions
where changed_at >= %(since)s
    and changed_at <= %(until)s
    and (changed_at < %(until)s or %(inclusive)s or revision < %(below)s::bigint)
    and before - '{revision,updated_at,description,owner,tags}'::text[]
        is distinct from after - '{revision,updated_at,description,owner,tags}'::text[]
order by changed_at desc, revision desc
limit %(limit)s

-- name: changes_since
-- What changed after a revision, oldest first, as texts; a null state is a deletion.
select revision, name, after::text, false as is_segment
from opsbook.feature_flag_revisions
where revision > %(revision)s
union all
select revision, name, null, true
from opsbook.flag_segment_revisions
where revision > %(revision)s
order by revision
limit 1001

-- name: name_problems
-- Why nothing new can have some of these names.
select name, opsbook.name_problem(name) as problem
from unnest(%(names)s::text[]) name
where opsbook.name_problem(name) is not null

-- name: list_segments
-- Every segment by name, with the flags whose rules name it.
select s.*, array(
    select f.name from opsbook.feature_flags f, jsonb_array_elements(f.rules) r
    where r -> 'segments' ? s.name group by f.name order by f.name
) as used_by
from opsbook.flag_segments s
order by s.name

-- name: segment_revision
-- A segment's present revision, held until the transaction ends.
select revision from opsbook.flag_segments where name = %(name)s for update

-- name: put_segment
-- A segment as given, new or changed.
insert into opsbook.flag_segments as held (name, description, constraints)
values (%(name)s, coalesce(%(description)s, ''), %(constraints)s)
on conflict (name) do update
set description = coalesce(%(description)s, held.description), constraints = excluded.constraints
returning *

-- name: delete_segment
-- A segment that no rule names; the trigger refuses one that is needed.
delete from opsbook.flag_segments where name = %(name)s returning *
