-- Issues of which no event is left are forgotten after a while; those about which somebody decided, much later.

-- Whether an issue is to be forgotten: nothing was seen of it for so many days, and no event of it is left.
create function is_quiet(issue error_issues, days int, decided_days int) returns boolean
language sql stable set search_path = opsbook, pg_temp as $$
    select issue.status <> 'merged'
        and issue.last_seen < now() - make_interval(days => days)
        and (
            issue.last_seen < now() - make_interval(days => decided_days)
            or issue.status = 'unresolved' and issue.assignee is null
                and not exists (select from error_issue_comments c where c.issue_id = issue.id)
                and not exists (select from error_issues m where m.merged_into = issue.id)
        )
        and not exists (
            select from error_groups g join error_events e on e.group_id = g.id where g.issue_id = issue.id
        )
        and not exists (
            select from error_groups g join error_pending_counts p on p.group_id = g.id where g.issue_id = issue.id
        )
$$;

-- Forget those of these issues that are still quiet once they are held, with their groups; gives how many that was.
-- An event on its way meanwhile makes a new issue.
create function forget_quiet_error_issues(issues bigint[], days int, decided_days int) returns bigint
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    held bigint[] := array(select id from error_issues where id = any (issues) order by id for update skip locked);
    forgotten bigint;
begin
    perform from error_groups where issue_id = any (held) order by id for update;
    perform set_config('opsbook.actor', 'retention', true), set_config('opsbook.actor_kind', 'system', true);
    delete from error_issues i where i.id = any (held) and is_quiet(i, days, decided_days);
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;

-- A record for each issue that is deleted, as long as a person would read them; for many one, with the first hundred.
create function record_deleted_error_issues() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    counters text[] := '{events,people,last_seen,last_release,flood_hour,flood_events}';
    total bigint := (select count(*) from deleted);
begin
    if total <= 10 then
        perform audit('error_issue.delete', 'error_issue', d.id::text, to_jsonb(d) - counters, null)
        from deleted d order by d.id;
    else
        perform audit(
            'error_issue.delete', 'error_issue', total || ' issues', null,
            jsonb_build_object('count', total, 'first', (
                select jsonb_agg(jsonb_build_object('id', d.id, 'title', d.title) order by d.id)
                from (select * from deleted order by id limit 100) d
            ))
        );
    end if;
    return null;
end
$$;
drop trigger record_delete on error_issues;
create trigger record_delete after delete on error_issues referencing old table as deleted
    for each statement execute function record_deleted_error_issues();

revoke execute on all functions in schema opsbook from public;
