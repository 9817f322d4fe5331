-- Who saw what: how often each flag was asked for and what it was, by the hour.

create table flag_exposures (
    hour timestamptz not null,
    flag text not null,
    variant text not null,
    count bigint not null check (count > 0),
    last_at timestamptz not null,
    primary key (hour, flag, variant)
) partition by range (hour);
comment on table flag_exposures is 'Evaluations by hour, flag and variant, as kits report them every 10 s.';
create index flag_exposures_flag on flag_exposures (flag, hour desc);
create table flag_exposures_default partition of flag_exposures default;
select make_monthly_partitions('flag_exposures', 12);

-- This month's partition and those of so many after it, also where a month came before its partition did: then its
-- first rows lie in the default partition, beside which Postgres lets no partition for them be made.
create function make_exposure_months(months int) returns int
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    early flag_exposures[];
    made int;
begin
    if exists (select from flag_exposures_default where hour >= date_trunc('month', now(), 'UTC')) then
        lock table flag_exposures in access exclusive mode;
        with taken as (
            delete from flag_exposures_default where hour >= date_trunc('month', now(), 'UTC') returning *
        )
        select array_agg(t::flag_exposures) into early from taken t;
    end if;
    made := make_monthly_partitions('flag_exposures', months);
    insert into flag_exposures select e.* from unnest(early) e;
    return made;
end
$$;

-- A report may name what the flag can be, and nothing else: a reader's token must not fill the table.
create function flag_can_be(flag feature_flags, variant text) returns boolean
language sql immutable set search_path = opsbook, pg_temp as $$
    select variant in ('on', 'off')
        or jsonb_path_exists(flag.variants, '$[*] ? (@.name == $v)', jsonb_build_object('v', variant))
        or jsonb_path_exists(flag.rules, '$[*].variants[*] ? (@.name == $v)', jsonb_build_object('v', variant))
$$;

-- Months that ended more than `months` ago.
create function drop_old_exposures(months int) returns int
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    partition text;
    oldest text := 'flag_exposures_' || to_char(now() at time zone 'utc' - make_interval(months => months), 'YYYY_MM');
    dropped int := 0;
begin
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'flag_exposures'::regclass and c.relname ~ '_[0-9]{4}_[0-9]{2}$' and c.relname < oldest
    loop
        execute format('drop table %I', partition);
        dropped := dropped + 1;
    end loop;
    delete from flag_exposures_default
    where hour < date_trunc('month', now() at time zone 'utc' - make_interval(months => months)) at time zone 'utc';
    return dropped;
end
$$;

revoke execute on all functions in schema opsbook from public;
