-- Feature flags: one trigger gives every change, however it is made, its revision, history,
-- audit record and notification.

create table feature_flags (
    name text primary key,
    enabled boolean not null default false,
    kill_switch boolean not null default false,
    rollout_percentage numeric not null default 100,
    description text not null default '',
    owner text,
    tags text[] not null default '{}',
    rules jsonb not null default '[]',
    variants jsonb not null default '[]',
    prerequisites jsonb not null default '[]',
    expires_at timestamptz,
    revision bigint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    archived_at timestamptz,
    constraint "a flag's name has 1 to 200 letters, digits or . _ : ~ -"
        check (name ~ '^[A-Za-z0-9][A-Za-z0-9._:~-]{0,199}$'),
    constraint "rollout_percentage is between 0 and 100"
        check (rollout_percentage between 0 and 100),
    -- numeric(5, 2) would round 100.004 to 100 instead of refusing it.
    constraint "rollout_percentage has at most two decimals"
        check (rollout_percentage = round(rollout_percentage, 2)),
    -- What every reader's calendar has, in any zone; 'infinity' and 44 BC are none of it.
    constraint "moments are in the years 1 to 9999"
        check (least(expires_at, archived_at, created_at) >= '0001-01-02T00:00:00Z'
            and greatest(expires_at, archived_at, created_at) < '9999-12-31T00:00:00Z'),
    constraint "a description has at most 2,000 characters" check (length(description) <= 2000),
    constraint "an owner has at most 200 characters" check (length(owner) <= 200),
    constraint "at most 20 tags, none null, of 1,000 characters together"
        check (coalesce(array_length(tags, 1), 0) <= 20 and array_position(tags, null) is null
            and length(array_to_string(tags, '')) <= 1000),
    constraint "rules, variants and prerequisites are arrays"
        check (jsonb_typeof(rules) = 'array' and jsonb_typeof(variants) = 'array'
            and jsonb_typeof(prerequisites) = 'array')
);
comment on table feature_flags is 'The present state of each flag; kill_switch beats everything.';

create table feature_flag_revisions (
    revision bigint primary key,
    name text not null,
    action text not null check (action in ('create', 'change', 'delete')),
    before jsonb,
    after jsonb,
    changed_at timestamptz not null default clock_timestamp(),
    actor text not null,
    actor_kind text not null,
    reason text
);
comment on table feature_flag_revisions is 'Every state that a flag has had; a null `after` is a deletion.';
create index feature_flag_revisions_name on feature_flag_revisions (name, revision desc);

-- Writers queue for the revision before they lock any flag. The other way round, a statement on many
-- flags and one on a single flag would each hold what the other needs, and one of them would fail.
-- A new flag locks nothing that others hold: it queues when it is numbered, after it has been checked.
insert into revisions values ('flags', 0) on conflict do nothing;
create function take_turn() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    perform from revisions where topic = 'flags' for update;
    return null;
end
$$;
create trigger take_turn before update or delete on feature_flags
    for each statement execute function take_turn();

create function number_feature_flag() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    if tg_op = 'UPDATE' then
        if new.name <> old.name then
            raise exception 'a flag''s name cannot change: create % and delete %', new.name, old.name
                using errcode = 'check_violation';
        end if;
        new.revision := old.revision;
        new.created_at := old.created_at;
        new.updated_at := old.updated_at;
        if new is not distinct from old then
            return new;
        end if;
    end if;
    new.revision := next_revision('flags');
    new.updated_at := clock_timestamp();
    return new;
end
$$;
create trigger number_change before insert or update on feature_flags
    for each row execute function number_feature_flag();

create function record_feature_flag() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    person acting_person := acting();
    old_state jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    new_state jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    verb text := case tg_op when 'INSERT' then 'create' when 'DELETE' then 'delete' else 'change' end;
    flag_name text := coalesce(new_state, old_state) ->> 'name';
    taken bigint;
begin
    if tg_op = 'UPDATE' and new.revision = old.revision then
        return null;
    end if;
    taken := case when tg_op = 'DELETE' then next_revision('flags') else new.revision end;
    insert into feature_flag_revisions (revision, name, action, before, after, actor, actor_kind, reason)
    values (taken, flag_name, verb, old_state, new_state, person.actor, person.actor_kind, person.reason);
    perform audit('flag.' || verb, 'flag', flag_name, old_state, new_state);
    return null;
end
$$;
create trigger record_change after insert or update or delete on feature_flags
    for each row execute function record_feature_flag();

create function refuse_truncate() returns trigger
language plpgsql as $$
begin
    raise exception 'truncate would leave no history: delete the flags instead'
        using errcode = 'insufficient_privilege';
end
$$;
create trigger refuse_truncate before truncate on feature_flags
    for each statement execute function refuse_truncate();
create trigger append_only before update or delete on feature_flag_revisions
    for each row execute function refuse_change('feature_flag_revisions');
create trigger append_only_truncate before truncate on feature_flag_revisions
    for each statement execute function refuse_change('feature_flag_revisions');

revoke execute on all functions in schema opsbook from public;
