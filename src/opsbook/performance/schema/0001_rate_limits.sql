-- Rate limits: what operators set over what the code declares, what was counted, and which processes count.

create table rate_limits (
    policy text primary key,
    declared jsonb not null default '{}',
    per_second integer,
    per_minute integer,
    per_hour integer,
    per_day integer,
    mode text not null default 'enforce',
    until timestamptz,
    reason text,
    updated_by text,
    updated_at timestamptz not null default now(),
    revision bigint not null default 0,
    constraint "a policy has a name of a-z, 0-9, dot, dash and underscore, at most 63"
        check (policy ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    constraint "a limit is from 1 to 1,000,000"
        check (least(per_second, per_minute, per_hour, per_day) >= 1
            and greatest(per_second, per_minute, per_hour, per_day) <= 1000000),
    constraint "mode is enforce, observe or off" check (mode in ('enforce', 'observe', 'off')),
    constraint "until is in the years 2000 to 9999"
        check (until >= '2000-01-01T00:00:00Z' and until < '9999-12-31T00:00:00Z'),
    constraint "a reason has at most 500 characters" check (length(reason) <= 500)
);
comment on table rate_limits is 'Each rate limit: what is set here is in force instead of what the code declares, until `until`.';
comment on column rate_limits.declared is 'What the service''s code says; written by its workers when they start.';
comment on column rate_limits.per_minute is 'In force instead of the declared one; null leaves that as it is. The others likewise.';
comment on column rate_limits.mode is 'observe counts and refuses nobody; off does not even count.';
comment on column rate_limits.until is 'When it goes back to what is declared; null for never.';

insert into revisions values ('limits', 0) on conflict do nothing;

-- What an operator has set of a limit, and nothing else of it.
create function rate_limit_setting(l rate_limits) returns jsonb
language sql immutable set search_path = opsbook, pg_temp as $$
    select jsonb_build_object(
        'per_second', l.per_second, 'per_minute', l.per_minute, 'per_hour', l.per_hour, 'per_day', l.per_day,
        'mode', l.mode, 'until', l.until, 'reason', l.reason
    )
$$;

create function is_rate_limit_changed(l rate_limits) returns boolean
language sql immutable set search_path = opsbook, pg_temp as $$
    select l.mode <> 'enforce' or coalesce(l.per_second, l.per_minute, l.per_hour, l.per_day) is not null
$$;

-- Who declares writes no history: fifty workers that start have changed nothing.
create function number_rate_limit() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    person acting_person := acting();
begin
    if tg_op = 'UPDATE' and new.policy <> old.policy then
        raise exception 'a rate limit''s name stands in the code: % cannot become %', old.policy, new.policy
            using errcode = 'check_violation';
    end if;
    if not is_rate_limit_changed(new) then
        new.until := null;
        new.reason := null;
    elsif tg_op = 'INSERT' or new.reason is not distinct from old.reason then
        new.reason := coalesce(person.reason, new.reason);
    end if;
    if tg_op = 'UPDATE' then
        new.revision := old.revision;
        new.updated_at := old.updated_at;
        new.updated_by := old.updated_by;
        if rate_limit_setting(new) = rate_limit_setting(old) then
            return new;
        end if;
    elsif not is_rate_limit_changed(new) then
        return new;
    end if;
    if new.until <= clock_timestamp() then
        raise exception 'until is past: %', new.until using errcode = 'check_violation';
    end if;
    new.revision := next_revision('limits');
    new.updated_at := clock_timestamp();
    new.updated_by := person.actor;
    return new;
end
$$;
create trigger number_change before insert or update on rate_limits
    for each row execute function number_rate_limit();

-- Writers queue for the revision before they lock any limit, as those of flags do.
create function take_rate_limit_turn() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    perform from revisions where topic = 'limits' for update;
    return null;
end
$$;
create trigger take_turn before update or delete on rate_limits
    for each statement execute function take_rate_limit_turn();

create function record_rate_limit() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    before jsonb := case when tg_op <> 'INSERT' and is_rate_limit_changed(old) then rate_limit_setting(old) end;
    after jsonb := case when tg_op <> 'DELETE' and is_rate_limit_changed(new) then rate_limit_setting(new) end;
    verb text := case when after is null then 'reset' else 'change' end;
begin
    if before is distinct from after then
        perform audit('rate_limit.' || verb, 'rate_limit', coalesce(new.policy, old.policy), before, after);
        if tg_op = 'DELETE' then
            perform next_revision('limits');
        end if;
    end if;
    return null;
end
$$;
create trigger record_change after insert or update or delete on rate_limits
    for each row execute function record_rate_limit();

create function refuse_rate_limit_truncate() returns trigger
language plpgsql as $$
begin
    raise exception 'truncate would leave no trace: delete the rate limits instead'
        using errcode = 'insufficient_privilege';
end
$$;
create trigger refuse_truncate before truncate on rate_limits
    for each statement execute function refuse_rate_limit_truncate();

create table rate_limit_counts (
    minute timestamptz not null,
    policy text not null,
    admitted bigint not null,
    refused bigint not null,
    primary key (minute, policy)
);
comment on table rate_limit_counts is 'How many requests each policy admitted and refused, in all processes; kept for 7 days.';

create table rate_limit_totals (
    policy text primary key,
    admitted bigint not null,
    refused bigint not null
);
comment on table rate_limit_totals is 'The same since the beginning, for whoever wants counters that only rise.';

create table rate_limit_keys (
    hour timestamptz not null,
    policy text not null,
    key text not null,
    refused bigint not null,
    used real not null,
    last_at timestamptz not null,
    primary key (hour, policy, key)
);
comment on table rate_limit_keys is 'Who was refused, or came near: at most 100 keys of a policy in an hour; kept for 7 days.';
comment on column rate_limit_keys.used is 'The largest share of the limit, 0 to 1, that the key had used when last reported.';
create index rate_limit_keys_last on rate_limit_keys (last_at);

create table rate_limit_processes (
    process text primary key,
    policies text[] not null,
    storage text not null check (storage in ('redis', 'memory')),
    seen_at timestamptz not null
);
comment on table rate_limit_processes is 'Which processes count which policies, and where; those of the last minute are there.';

revoke execute on all functions in schema opsbook from public;
