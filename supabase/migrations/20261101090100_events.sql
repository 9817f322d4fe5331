-- What people did, by month: it grows with traffic, so a month can be dropped instead of deleted row by row.

-- The key begins with the person, so that nobody can take an id that someone else is about to use, and it is
-- also the index of the question asked most: one person's latest events.
create table public.events (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    type text not null check (length(type) between 1 and 100),
    timestamp timestamptz not null default now(),
    properties jsonb not null default '{}' check (jsonb_typeof(properties) = 'object'),
    session_id uuid,
    primary key (user_id, timestamp, id)
) partition by range (timestamp);
comment on table public.events is 'What people did, one partition a month (UTC).';
comment on column public.events.session_id is 'The session it came from; no foreign key, because events outlive sessions.';

alter table public.events enable row level security;
revoke all on public.events from anon, authenticated;
grant select, insert on public.events to authenticated;

create policy "People see their own events" on public.events
    for select to authenticated
    using (user_id = (select auth.uid()));

create policy "People add their own events" on public.events
    for insert to authenticated
    with check (user_id = (select auth.uid()));

-- Partitions ----------------------------------------------------------------------------------------------------------

-- Not among the schemas of the data API: nothing in it can be called from outside.
create schema private;
revoke all on schema private from public;

-- A partition has policies and grants of its own, used when it is named directly instead of through `events`.
create function private.protect_event_partition(partition regclass) returns void
language plpgsql
set search_path = ''
as $$
begin
    execute format('alter table %s enable row level security', partition);
    execute format('revoke all on %s from anon, authenticated', partition);
    execute format(
        'create policy "People see their own events" on %s for select to authenticated'
        ' using (user_id = (select auth.uid()))',
        partition
    );
end
$$;

-- Rows of that month which came before their partition move over from the default one.
create function private.create_event_partition(month date) returns boolean
language plpgsql
set search_path = ''
as $$
declare
    first_day constant date := date_trunc('month', month::timestamp);
    starts constant timestamptz := first_day::timestamp at time zone 'UTC';
    ends constant timestamptz := (first_day + interval '1 month') at time zone 'UTC';
    name constant text := to_char(first_day, '"events_"YYYY_MM');
begin
    perform pg_advisory_xact_lock(hashtext('private.create_event_partition'));
    if to_regclass('public.' || name) is not null then
        return false;
    end if;
    lock table public.events_default in access exclusive mode;
    execute format('create table public.%I (like public.events including all)', name);
    execute format(
        'with moved as (delete from public.events_default where timestamp >= %L and timestamp < %L returning *)'
        ' insert into public.%I select * from moved',
        starts, ends, name
    );
    execute format(
        'alter table public.events attach partition public.%I for values from (%L) to (%L)', name, starts, ends
    );
    perform private.protect_event_partition(format('public.%I', name)::regclass);
    return true;
end
$$;

create function private.create_event_partitions(months_ahead integer default 12) returns integer
language sql
set search_path = ''
as $$
    select count(*) filter (where private.create_event_partition(month::date))
    from generate_series(
        date_trunc('month', now() at time zone 'UTC') - interval '1 month',
        date_trunc('month', now() at time zone 'UTC') + months_ahead * interval '1 month',
        interval '1 month'
    ) as month
$$;
comment on function private.create_event_partitions is
    'Makes the partitions of last month to months_ahead from now that are missing; how many it made.';
revoke execute on all functions in schema private from public;

-- Takes what no month takes, so that a late or early event is never lost.
create table public.events_default partition of public.events default;
select private.protect_event_partition('public.events_default');
select private.create_event_partitions();
