-- A second person, where a flag asks for one: changes wait as requests. What makes things safer at once does not.

alter table feature_flags add column requires_approval boolean not null default false;
comment on column feature_flags.requires_approval is 'Whether a change needs a second person; killing and switching off never do.';

create table flag_change_requests (
    id bigint generated always as identity primary key,
    flag text not null references feature_flags on delete cascade,
    fields jsonb not null check (jsonb_typeof(fields) = 'object' and fields <> '{}'),
    base_revision bigint not null,
    reason text check (length(reason) <= 2000),
    status text not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    made_by text not null,
    made_by_kind text not null,
    made_at timestamptz not null default now(),
    decided_by text,
    decided_by_kind text,
    decided_at timestamptz,
    decided_in bigint
);
comment on table flag_change_requests is 'Changes that wait for a second person; approving one makes the change.';
comment on column flag_change_requests.decided_in is 'The transaction of the decision: an approval is good in it alone.';
create index flag_change_requests_pending on flag_change_requests (flag) where status = 'pending';

-- Who asks and who decides is whoever acts; a decision is final, and never one's own. A token, ADMIN_TOKEN or a
-- database's role is nobody in particular, so none approves; and only sessions of the role that owns the table, as
-- Opsbook's are, are believed when they name a person. Who holds that role's password can name anybody.
create function sign_change_request() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    person acting_person := acting();
begin
    if tg_op = 'INSERT' then
        new.status := 'pending';
        new.made_by := person.actor;
        new.made_by_kind := person.actor_kind;
        new.made_at := now();
        new.decided_by := null;
        new.decided_by_kind := null;
        new.decided_at := null;
        new.decided_in := null;
        return new;
    end if;
    if old.status <> 'pending' or new.status = 'pending' or to_jsonb(new) - 'status' <> to_jsonb(old) - 'status' then
        raise exception 'a change request is decided once, and not changed' using errcode = 'check_violation';
    end if;
    if new.status = 'approved' then
        if person.actor = old.made_by then
            raise exception 'request % is of %: another person must approve it', old.id, old.made_by
                using errcode = 'check_violation';
        end if;
        if person.actor_kind not in ('operator', 'cli') or not may_change_flags(person.actor, person.actor_kind)
            or not pg_has_role(session_user, (select relowner from pg_class where oid = tg_relid), 'member')
        then
            raise exception 'a person must approve request %: in the console, or by `opsbook flags approve %`', old.id, old.id
                using errcode = 'check_violation';
        end if;
    end if;
    new.decided_by := person.actor;
    new.decided_by_kind := person.actor_kind;
    new.decided_at := now();
    new.decided_in := txid_current();
    return new;
end
$$;
create trigger sign before insert or update on flag_change_requests
    for each row execute function sign_change_request();

-- Requests leave with their flag alone: that deletion is a statement of the foreign key's, below a trigger.
create trigger append_only before delete on flag_change_requests
    for each row when (pg_trigger_depth() = 0) execute function refuse_change('flag_change_requests');
create trigger append_only_truncate before truncate on flag_change_requests
    for each statement execute function refuse_change('flag_change_requests');

create function record_change_request() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    verb text := case when tg_op = 'INSERT' then 'ask' else replace(replace(new.status, 'approved', 'approve'), 'rejected', 'reject') end;
begin
    perform audit('flag_request.' || verb, 'flag', new.flag, case when tg_op = 'UPDATE' then to_jsonb(old) end, to_jsonb(new));
    perform next_revision('requests');
    return null;
end
$$;
create trigger record_change after insert or update on flag_change_requests
    for each row execute function record_change_request();

-- Whether a change of a flag needs nobody else: it only kills, or only switches off.
create function only_makes_safer(old_flag feature_flags, new_flag feature_flags) returns boolean
language sql immutable set search_path = opsbook, pg_temp as $$
    select to_jsonb(old_flag) - array['kill_switch', 'enabled'] = to_jsonb(new_flag) - array['kill_switch', 'enabled']
        and new_flag.kill_switch >= old_flag.kill_switch and new_flag.enabled <= old_flag.enabled
$$;

-- Refuses a change, or where there is no new flag a deletion, that the old flag wants a second person for.
create function require_approval(old_flag feature_flags, new_flag feature_flags) returns void
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    request flag_change_requests;
begin
    if not old_flag.requires_approval then
        return;
    end if;
    if new_flag.name is null then
        raise exception 'flag % asks for a second person: have requires_approval taken off before it is deleted',
            old_flag.name using errcode = 'check_violation', constraint = 'requires_approval';
    end if;
    if only_makes_safer(old_flag, new_flag) then
        return;
    end if;
    select * into request from flag_change_requests
    where id = nullif(current_setting('opsbook.change_request', true), '')::bigint
        and flag = old_flag.name and status = 'approved' and decided_in = txid_current();
    if request.id is null or new_flag is distinct from jsonb_populate_record(old_flag, request.fields) then
        raise exception 'flag % asks for a second person: ask with `opsbook flags set`; only killing and switching off are free',
            old_flag.name using errcode = 'check_violation', constraint = 'requires_approval';
    end if;
end
$$;

-- What such a flag leans on must not open it behind the second person's back. These run after all other triggers of
-- the statement, when the flags' turn is held; a kill meets none of them.
create function keep_approved_segment() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    flag text;
begin
    select name into flag from feature_flags f
    where f.requires_approval and exists (select from jsonb_array_elements(f.rules) r where r -> 'segments' ? new.name);
    if found then
        raise exception 'flag % asks for a second person and names segment %: make another segment, and ask for that one in the flag',
            flag, new.name using errcode = 'check_violation', constraint = 'requires_approval';
    end if;
    return null;
end
$$;
create trigger require_approval after update on flag_segments
    for each row when (new.constraints is distinct from old.constraints) execute function keep_approved_segment();

create function require_approved_parents() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    other text;
begin
    if new.requires_approval then
        select p ->> 'flag' into other from jsonb_array_elements(new.prerequisites) p
        where p ->> 'enabled' = 'false' or not exists (
            select from feature_flags f where f.name = p ->> 'flag' and f.requires_approval
        );
        if found then
            raise exception 'flag % asks for a second person, so its prerequisite % must ask for one too, and be on: switching off is free',
                new.name, other using errcode = 'check_violation';
        end if;
    elsif tg_op = 'UPDATE' then
        select name into other from feature_flags f
        where f.requires_approval and f.prerequisites @> jsonb_build_array(jsonb_build_object('flag', new.name));
        if found then
            raise exception 'flag % asks for a second person and has % as a prerequisite, which must ask for one too',
                other, new.name using errcode = 'check_violation';
        end if;
    end if;
    return null;
end
$$;
create trigger require_approved_parents after update on feature_flags
    for each row when (new.requires_approval <> old.requires_approval or new.prerequisites <> old.prerequisites)
    execute function require_approved_parents();
create trigger require_approved_parents_at_first after insert on feature_flags
    for each row when (new.requires_approval) execute function require_approved_parents();

revoke execute on all functions in schema opsbook from public;
