-- Check-ins: what runs on a schedule, when it is expected, and what it reported.

-- By what Postgres itself reads, so that a name which it knows can be compared with its clock.
create function is_time_zone(name text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    perform timestamptz 'epoch' at time zone name;
    return name ~ '^[A-Za-z][A-Za-z0-9_+/-]{0,63}$';
exception when invalid_parameter_value then
    return false;
end
$$;

create table check_in_monitors (
    id bigint generated always as identity primary key,
    project_id bigint not null default 1 references error_projects on delete cascade,
    slug text not null,
    environment text not null default 'production',
    schedule text,
    timezone text not null default 'UTC',
    margin interval not null default '1 minute',
    max_runtime interval not null default '30 minutes',
    failure_threshold int not null default 1,
    recovery_threshold int not null default 1,
    muted_until timestamptz,
    secret_hash bytea unique,
    problem text,
    created_at timestamptz not null default now(),
    expected_after timestamptz not null default now(),
    last_status text,
    last_at timestamptz,
    failures int not null default 0,
    successes int not null default 0,
    failing_since timestamptz,
    unique (project_id, slug, environment),
    constraint "a monitor's name has 1 to 50 lower-case letters, digits or . _ -"
        check (slug ~ '^[a-z0-9][a-z0-9._-]{0,49}$'),
    constraint "an environment has 1 to 64 characters, none of them / or a space"
        check (environment ~ '^[^/[:space:][:cntrl:]]{1,64}$'),
    constraint "a schedule is a crontab of five fields, or every N minutes, hours, days, weeks, months or years"
        check (
            schedule ~ '^[^[:space:]]{1,100}( [^[:space:]]{1,100}){4}$'
            or schedule ~ '^every [1-9][0-9]{0,4} (minute|hour|day|week|month|year)s?$'
        ),
    constraint "a time zone is named as in the IANA database" check (is_time_zone(timezone)),
    constraint "a margin is at most 30 days" check (margin between interval '0' and interval '30 days'),
    constraint "a longest runtime is at most 30 days" check (max_runtime between interval '1 second' and interval '30 days'),
    constraint "what is muted is muted until a day of the calendar, such as 9999-12-31" check (isfinite(muted_until)),
    constraint "a threshold is 1 to 720" check (failure_threshold between 1 and 720 and recovery_threshold between 1 and 720)
)
-- Each check-in changes a row: room on its page, so that no index does.
with (fillfactor = 70);
comment on table check_in_monitors is 'What is expected to check in, in one environment, and how it has been doing.';
comment on column check_in_monitors.schedule is 'Without one it may check in when it likes, and is never missed.';
comment on column check_in_monitors.margin is 'How much later than expected it may begin.';
comment on column check_in_monitors.failure_threshold is 'After so many failures in a row it counts as failing; after recovery_threshold successes as well again.';
comment on column check_in_monitors.muted_until is 'Until then it is shown, and worries nobody.';
comment on column check_in_monitors.secret_hash is 'Of the secret in its own address, which whoever knows it may check in by.';
comment on column check_in_monitors.problem is 'Why the newest schedule that was sent along could not be taken.';
comment on column check_in_monitors.expected_after is 'It is expected at the schedule''s first time after this one.';

create table check_ins (
    monitor_id bigint not null references check_in_monitors on delete cascade,
    id uuid not null default gen_random_uuid(),
    status text not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    duration_seconds double precision,
    expected_at timestamptz,
    exit_code int,
    release text,
    trace_id uuid,
    primary key (monitor_id, id),
    constraint "a check-in is in progress, ok, in error, missed or timed out"
        check (status in ('in_progress', 'ok', 'error', 'missed', 'timed_out')),
    constraint "a duration is not negative" check (duration_seconds >= 0)
)
with (fillfactor = 80);
-- Not by day: it grows with schedules, not with traffic, and old rows leave with the worker's tidying.
comment on table check_ins is 'Each run that was reported, and each that was not.';
comment on column check_ins.expected_at is 'For which time of the schedule it was missed.';
create index check_ins_latest on check_ins (monitor_id, started_at desc);
create index check_ins_open on check_ins (started_at) where status = 'in_progress';

-- What is decided about a monitor is recorded; how its runs go is in check_ins.
create function record_check_in_monitor() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    left_out text[] := '{secret_hash,expected_after,last_status,last_at,failures,successes,failing_since,problem}';
    old_state jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) - left_out end;
    new_state jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) - left_out end;
    verb text := case
        when tg_op = 'INSERT' then 'create'
        when tg_op = 'DELETE' then 'delete'
        when old.secret_hash is distinct from new.secret_hash then 'change_secret'
        else 'change'
    end;
begin
    if verb = 'change_secret' or old_state is distinct from new_state then
        perform audit('check_in_monitor.' || verb, 'check_in_monitor', coalesce(new.slug, old.slug), old_state, new_state);
    end if;
    return null;
end
$$;
create trigger record_change after insert or update or delete on check_in_monitors
    for each row execute function record_check_in_monitor();

-- What an older schedule expected is not missed by a newer one.
create function reschedule_check_in_monitor() returns trigger
language plpgsql as $$
begin
    new.expected_after := greatest(new.expected_after, now());
    return new;
end
$$;
create trigger reschedule before update on check_in_monitors
    for each row when ((new.schedule, new.timezone) is distinct from (old.schedule, old.timezone))
    execute function reschedule_check_in_monitor();

revoke execute on all functions in schema opsbook from public;
