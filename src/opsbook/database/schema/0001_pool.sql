-- Connection pools: how each process's stands now, and what it did lately.

create table pool_processes (
    id uuid primary key,
    host text not null,
    pid int not null,
    program text not null,
    database text not null,
    pool_size int,
    max_overflow int,
    checked_out int not null,
    checked_in int,
    waiting int not null,
    longest_wait_seconds double precision not null,
    arrivals bigint not null default 0,
    timeouts bigint not null default 0,
    failures bigint not null default 0,
    waited_seconds double precision not null default 0,
    held_seconds double precision not null default 0,
    holders jsonb not null default '[]' constraint holders_are_a_list check (jsonb_typeof(holders) = 'array'),
    started_at timestamptz not null default now(),
    reported_at timestamptz not null default now()
);
comment on table pool_processes is 'One row a process that has a pool, as it reports every 5 s; one that stops takes its row along.';
comment on column pool_processes.database is 'host:port/name that the pool connects to; never a password.';
comment on column pool_processes.arrivals is 'How often a connection was asked for since the process began, also in vain; so are the other counts.';
comment on column pool_processes.holders is 'Who has had a connection for longest: held_seconds, and the stack that took it.';

create table pool_samples (
    at timestamptz not null default now(),
    process uuid not null,
    database text not null,
    seconds double precision not null constraint period_is_positive check (seconds > 0),
    capacity int,
    most_checked_out int not null,
    most_wanted int not null,
    arrivals bigint not null,
    timeouts bigint not null,
    failures bigint not null,
    held_seconds double precision not null,
    waits jsonb not null,
    holds jsonb not null,
    longest_hold_seconds double precision,
    longest_hold_stack jsonb,
    primary key (at, process)
) partition by range (at);
comment on table pool_samples is 'What a pool did in each period of some 5 s in which it did anything. Kept for 14 days.';
comment on column pool_samples.waits is 'Durations by bucket: n counts those up to 2^(n/4) microseconds.';
create index pool_samples_process on pool_samples (process, at desc);
create table pool_samples_default partition of pool_samples default;

-- Today's partition and those of so many days after it, also where a day came before its partition did: then its
-- first rows lie in the default partition, beside which Postgres lets no partition for them be made.
create function make_pool_sample_days(days int) returns int
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    today date := (now() at time zone 'utc')::date;
    partition text;
    early pool_samples[];
    made int := 0;
begin
    perform pg_advisory_xact_lock(hashtext('opsbook.partitions'), hashtext('pool_samples'));
    if exists (select from pool_samples_default where at >= today::timestamp at time zone 'utc') then
        lock table pool_samples in access exclusive mode;
        with taken as (
            delete from pool_samples_default where at >= today::timestamp at time zone 'utc' returning *
        )
        select array_agg(t::pool_samples) into early from taken t;
    end if;
    for ahead in 0..days loop
        partition := 'pool_samples' || to_char(today + ahead, '_YYYY_MM_DD');
        if to_regclass(format('opsbook.%I', partition)) is null then
            execute format(
                'create table %I partition of pool_samples for values from (%L) to (%L)', partition,
                (today + ahead)::timestamp at time zone 'utc', (today + ahead + 1)::timestamp at time zone 'utc'
            );
            made := made + 1;
        end if;
    end loop;
    insert into pool_samples select e.* from unnest(early) e;
    return made;
end
$$;
select make_pool_sample_days(14);

-- Days that ended more than `days` ago.
create function drop_old_pool_samples(days int) returns int
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    oldest date := (now() at time zone 'utc')::date - days;
    partition text;
    dropped int := 0;
begin
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'pool_samples'::regclass and c.relname ~ '_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
            and c.relname < 'pool_samples' || to_char(oldest, '_YYYY_MM_DD')
    loop
        execute format('drop table %I', partition);
        dropped := dropped + 1;
    end loop;
    delete from pool_samples_default where at < oldest::timestamp at time zone 'utc';
    return dropped;
end
$$;

revoke execute on all functions in schema opsbook from public;
