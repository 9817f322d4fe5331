-- Counts of events whose issue somebody holds: they wait here, so that whoever sends events waits for nobody's decision.

create table error_pending_counts (
    id bigint generated always as identity primary key,
    group_id bigint not null,
    minute timestamptz not null,
    events bigint not null,
    people bigint[] not null default '{}',
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    release text,
    project_id bigint not null,
    hash bytea not null,
    parts jsonb not null,
    title text not null,
    culprit text not null,
    level text not null,
    platform text not null
);
-- No foreign keys: they would wait for whoever holds the row that they name.
comment on table error_pending_counts is
    'What is yet to be added to groups, issues and trend lines, written with the events themselves; mostly empty.';
comment on column error_pending_counts.hash is 'This and what follows makes the group anew, should it be deleted first.';
create index error_pending_counts_group on error_pending_counts (group_id);

-- Groups that were deleted while events of theirs were on their way: made anew, and the events given to them.
create function revive_error_groups() returns void
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    lost record;
    again error_groups;
begin
    delete from error_pending_counts p where not exists (select from error_projects where id = p.project_id);
    for lost in
        select distinct on (p.group_id) p.*, min(p.minute) over (partition by p.group_id) as since
        from error_pending_counts p
        where not exists (select from error_groups g where g.id = p.group_id)
        order by p.group_id, p.id
    loop
        again := new_error_group(
            lost.project_id, lost.hash, lost.parts, lost.title, lost.culprit, lost.level, lost.platform,
            lost.release, lost.first_seen
        );
        update error_events set group_id = again.id where group_id = lost.group_id and received_at >= lost.since;
        update error_pending_counts set group_id = again.id where group_id = lost.group_id;
    end loop;
end
$$;

-- Groups are moved and deleted by one at a time, who holds them alone (hold_error_groups). Who counts events does not
-- ask: an issue that they cannot hold is counted for later.

-- Forget an issue and its events. Those that are on their way meanwhile make a new one.
create function delete_error_issue(issue bigint) returns bigint
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    members bigint[];
begin
    perform hold_error_groups(true);
    perform from error_issues where id = issue for update;
    if not found then
        return null;
    end if;
    members := array(select id from error_groups where issue_id = issue order by id for update);
    -- At one moment, for an event and what is pending of it come together.
    with pending as (delete from error_pending_counts where group_id = any (members))
    delete from error_events where group_id = any (members);
    delete from error_issues where id = issue;
    return issue;
end
$$;

-- Take groups out of an issue into a new one, where they and their events to come stay. The issue is held before its
-- groups are, as by everybody.
create or replace function split_error_issue(issue bigint, group_ids bigint[]) returns bigint
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    made bigint;
begin
    perform hold_error_groups(true);
    perform from error_issues where id = issue for update;
    if exists (
        select from unnest(group_ids) wanted
        where not exists (select from error_groups g where g.id = wanted and g.issue_id = issue)
    ) or coalesce(array_length(group_ids, 1), 0) = 0 then
        raise exception 'issue % has no such group', issue using errcode = 'no_data_found';
    end if;
    if not exists (select from error_groups g where g.issue_id = issue and g.id <> all (group_ids)) then
        raise exception 'issue % would be left without events; leave it at least one group', issue
            using errcode = 'check_violation';
    end if;
    insert into error_issues (project_id, title, culprit, level, platform, first_seen, last_seen, last_release)
    select i.project_id, coalesce(newest.message, i.title), i.culprit, i.level, i.platform, i.last_seen, i.last_seen, i.last_release
    from error_issues i
    left join lateral (
        select left(e.message, 200) as message from error_events e
        where e.group_id = any (group_ids) order by e.occurred_at desc limit 1
    ) newest on true
    where i.id = issue
    returning id into made;
    update error_groups set issue_id = made where id = any (group_ids);
    perform recount_error_issue(issue);
    perform recount_error_issue(made);
    return made;
end
$$;

revoke execute on all functions in schema opsbook from public;
