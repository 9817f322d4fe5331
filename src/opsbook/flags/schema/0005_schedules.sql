-- What is to happen to a flag, and when: on at, off at, a ramp; carried out by the worker.

-- Steps in their order, each with its moment and what it sets.
create function is_schedule(steps jsonb) returns boolean
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    step jsonb;
    moment timestamptz;
    before timestamptz;
begin
    if jsonb_typeof(steps) is distinct from 'array' or jsonb_array_length(steps) not between 1 and 100 then
        return false;
    end if;
    for step in select jsonb_array_elements(steps) loop
        moment := as_instant(step ->> 'at');
        if moment is null or moment <= before
            or not has_only_keys(step, 'at', 'enabled', 'rollout_percentage')
            or not step ?| array['enabled', 'rollout_percentage']
            or jsonb_typeof(coalesce(step -> 'enabled', 'true')) <> 'boolean'
            or not is_percentage(coalesce(step -> 'rollout_percentage', '0'))
        then
            return false;
        end if;
        before := moment;
    end loop;
    return true;
end
$$;

create table flag_schedules (
    id bigint generated always as identity primary key,
    flag text not null references feature_flags on delete cascade,
    flag_revision bigint not null,
    kind text not null default 'dates' check (kind in ('dates', 'ramp')),
    steps jsonb not null,
    done int not null default 0,
    paused_at timestamptz,
    paused_because text,
    finished_at timestamptz,
    made_by text not null,
    made_by_kind text not null,
    created_at timestamptz not null default now(),
    constraint "steps are an array of {at, enabled, rollout_percentage}, each later than the one before"
        check (case when is_schedule(steps) then done between 0 and jsonb_array_length(steps) else false end)
);
comment on table flag_schedules is 'Steps that the worker takes when they are due, in the name of who made the schedule.';
comment on column flag_schedules.flag_revision is 'The flag''s when the schedule was made or last resumed: a kill after it stops the schedule.';
comment on column flag_schedules.kind is 'A ramp that was paused goes on from where it stood; dates stay dates.';
create index flag_schedules_flag on flag_schedules (flag) where finished_at is null;

create function record_flag_schedule() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    old_state jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    new_state jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    verb text := case tg_op when 'INSERT' then 'create' when 'DELETE' then 'delete' else 'change' end;
begin
    if old_state is distinct from new_state then
        perform audit('flag_schedule.' || verb, 'flag', coalesce(new_state, old_state) ->> 'flag', old_state, new_state);
        perform next_revision('schedules');
    end if;
    return null;
end
$$;
create trigger record_change after insert or update or delete on flag_schedules
    for each row execute function record_flag_schedule();

-- Whoever makes it go on is whom it acts for, so that nobody schedules in another's name; pausing passes nothing on.
create function sign_flag_schedule() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    person acting_person := acting();
    killed boolean;
    resumed boolean := tg_op = 'INSERT' or old.paused_at is not null and new.paused_at is null;
begin
    if tg_op = 'UPDATE' then
        new.flag_revision := old.flag_revision;
        new.created_at := old.created_at;
        new.made_by := old.made_by;
        new.made_by_kind := old.made_by_kind;
        if to_jsonb(new) - array['paused_at', 'paused_because'] = to_jsonb(old) - array['paused_at', 'paused_because']
            and new.paused_at is not null
        then
            return new;
        end if;
    end if;
    new.made_by := person.actor;
    new.made_by_kind := person.actor_kind;
    if resumed or new.flag <> old.flag then
        select revision, kill_switch into new.flag_revision, killed from feature_flags where name = new.flag;
        if killed and tg_op = 'UPDATE' then
            raise exception '% is killed: revive it before its schedule goes on', new.flag
                using errcode = 'check_violation';
        end if;
        -- Of a flag that is not there the foreign key speaks.
        new.flag_revision := coalesce(new.flag_revision, 0);
    end if;
    return new;
end
$$;
create trigger sign before insert or update on flag_schedules
    for each row execute function sign_flag_schedule();

-- Whether somebody may still change flags. Of those who are in no table of ours nothing else is known.
create function may_change_flags(actor text, actor_kind text) returns boolean
language sql stable set search_path = opsbook, pg_temp as $$
    select case actor_kind
        when 'operator' then exists (
            select from operators where email = actor and disabled_at is null and role in ('operator', 'admin')
        )
        when 'token' then exists (
            select from api_tokens where name = actor and revoked_at is null and (expires_at is null or expires_at > now())
                and role in ('operator', 'admin') and scopes && array['*', 'flags:*', 'flags:write']
        )
        else true
    end
$$;

-- Since when a schedule stands still, and why. What was killed must not rise again by the clock, nor by the clock
-- after a revive. It is found here, and not written by the kill: a kill waits for no schedule.
create function schedule_stop(schedule flag_schedules, out at timestamptz, out because text)
language sql stable set search_path = opsbook, pg_temp as $$
    select stops.at, stops.because from (
        select schedule.paused_at, schedule.paused_because
        union all
        select coalesce(min(r.changed_at), (
            select schedule.created_at from feature_flags f where f.name = schedule.flag and f.kill_switch
        )), 'the flag was killed'
        from feature_flag_revisions r
        where r.name = schedule.flag and r.revision > schedule.flag_revision
            and (r.after ->> 'kill_switch')::boolean and not coalesce((r.before ->> 'kill_switch')::boolean, false)
        union all
        select now(), format('%s may no longer change flags', schedule.made_by)
        where not may_change_flags(schedule.made_by, schedule.made_by_kind)
    ) stops (at, because)
    where stops.at is not null
    order by stops.at limit 1
$$;

revoke execute on all functions in schema opsbook from public;
