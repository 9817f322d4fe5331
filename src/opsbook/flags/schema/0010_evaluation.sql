-- What a flag is for a context, in SQL as in the kit: buckets, rules, variants, prerequisites.

-- a × b mod 2^32, without leaving bigint.
create function multiply_32(a bigint, b bigint) returns bigint
language sql immutable as $$
    select ((a & 65535) * b + ((((a >> 16) * b) & 65535) << 16)) & 4294967295
$$;

-- murmur3, x86, 32 bits (Austin Appleby, public domain), as Unleash's clients hash.
create function murmur3(value bytea, seed bigint default 0) returns bigint
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    size int := length(value);
    hash bigint := seed;
    block bigint;
begin
    for i in 0..(size / 4 - 1) loop
        block := get_byte(value, i * 4)::bigint | (get_byte(value, i * 4 + 1)::bigint << 8)
            | (get_byte(value, i * 4 + 2)::bigint << 16) | (get_byte(value, i * 4 + 3)::bigint << 24);
        block := multiply_32(block, 3432918353);
        block := ((block << 15) | (block >> 17)) & 4294967295;
        hash := hash # multiply_32(block, 461845907);
        hash := ((hash << 13) | (hash >> 19)) & 4294967295;
        hash := (hash * 5 + 3864292196) & 4294967295;
    end loop;
    block := 0;
    for i in reverse (size % 4 - 1)..0 loop
        block := (block << 8) | get_byte(value, size - size % 4 + i);
    end loop;
    if size % 4 > 0 then
        block := multiply_32(block, 3432918353);
        block := ((block << 15) | (block >> 17)) & 4294967295;
        hash := hash # multiply_32(block, 461845907);
    end if;
    hash := hash # size;
    hash := multiply_32(hash # (hash >> 16), 2246822507);
    hash := multiply_32(hash # (hash >> 13), 3266489909);
    return hash # (hash >> 16);
end
$$;

create function flag_bucket(flag_group text, value text) returns int
language sql immutable set search_path = opsbook, pg_temp as $$
    select (hash % 100 * 100 + hash / 100 % 100)::int
    from murmur3(convert_to(flag_group || ':' || value, 'UTF8')) hash
$$;

create function sticky_text(context jsonb, stickiness text) returns text
language sql immutable set search_path = opsbook, pg_temp as $$
    select case
        when stickiness = 'default' then
            coalesce(nullif(context_text(context, 'targetingKey'), ''), as_text(context -> 'sessionId'))
        else context_text(context, stickiness)
    end
$$;

create function rule_admits(rule jsonb, flag_name text, context jsonb, at timestamptz) returns boolean
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    percentage numeric := coalesce((rule ->> 'percentage')::numeric, 100);
    key text;
    segment text;
    segment_constraints jsonb;
begin
    if percentage <= 0 or exists (
        select from jsonb_array_elements(coalesce(rule -> 'constraints', '[]')) c
        where not constraint_holds(c, context, at)
    ) then
        return false;
    end if;
    for segment in select jsonb_array_elements_text(coalesce(rule -> 'segments', '[]')) loop
        select s.constraints into segment_constraints from flag_segments s where s.name = segment;
        if not found or exists (
            select from jsonb_array_elements(segment_constraints) c where not constraint_holds(c, context, at)
        ) then
            return false;
        end if;
    end loop;
    if percentage >= 100 then
        return true;
    end if;
    key := sticky_text(context, coalesce(rule ->> 'stickiness', 'default'));
    return coalesce(key, '') <> ''
        and flag_bucket(coalesce(rule ->> 'group', flag_name), key) < round(percentage * 100);
end
$$;

-- Which variant a context gets that a rule admits: an override, else by weight; 'on' without variants.
create function flag_variant(flag feature_flags, rule jsonb, context jsonb) returns jsonb
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    own boolean := jsonb_array_length(coalesce(rule -> 'variants', '[]')) > 0;
    variants jsonb := case when own then rule -> 'variants' else flag.variants end;
    dealt_by text := case when own then coalesce(rule ->> 'group', flag.name) else flag.name end;
    sticky text := coalesce(variants #>> '{0,stickiness}',
        case when own then rule ->> 'stickiness' end, 'default');
    total bigint;
    place bigint;
    variant jsonb;
begin
    select v into variant
    from jsonb_array_elements(variants) with ordinality each (v, n),
        jsonb_array_elements(coalesce(v -> 'overrides', '[]')) with ordinality overriding (o, m)
    where context_text(context, o ->> 'field') in (select as_text(x) from jsonb_array_elements(o -> 'values') x)
    order by n, m
    limit 1;
    if found then
        return variant;
    end if;
    select sum(coalesce((v ->> 'weight')::numeric::bigint, 1)) into total from jsonb_array_elements(variants) v;
    if coalesce(total, 0) = 0 then
        return null;
    end if;
    place := murmur3(convert_to(dealt_by || ':' || coalesce(sticky_text(context, sticky), ''), 'UTF8'), 86028157)
        % total + 1;
    select v into variant
    from (
        select v, n, sum(coalesce((v ->> 'weight')::numeric::bigint, 1)) over (order by n) as upto
        from jsonb_array_elements(variants) with ordinality each (v, n)
    ) weighed
    where place <= upto
    order by n
    limit 1;
    return variant;
end
$$;

-- The flags decided so far with this one and those that it was found to need: each is decided once, however many
-- ways lead to it. {"enabled", "variant"} by name; null for a flag that does not exist.
create function decide_flag(flag_name text, context jsonb, at timestamptz, decided jsonb, depth int) returns jsonb
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    flag feature_flags;
    off constant jsonb := jsonb_build_object(flag_name, '{"enabled": false, "variant": "off"}'::jsonb);
    required jsonb;
    rule jsonb;
    variant jsonb;
begin
    select * into flag from feature_flags where name = flag_name;
    if not found then
        return decided || jsonb_build_object(flag_name, null);
    end if;
    if flag.kill_switch or not flag.enabled or flag.archived_at is not null
        or (flag.off_when_expired and flag.expires_at <= at)
    then
        return decided || off;
    end if;
    for required in select jsonb_array_elements(flag.prerequisites) loop
        if not decided ? (required ->> 'flag') and depth < 64 then
            decided := decide_flag(required ->> 'flag', context, at, decided, depth + 1);
        end if;
        if not prerequisite_holds(required, decided -> (required ->> 'flag')) then
            return decided || off;
        end if;
    end loop;
    for rule in
        select jsonb_array_elements(flag.rules || jsonb_build_array(jsonb_build_object('percentage', flag.rollout_percentage)))
    loop
        if rule_admits(rule, flag.name, context, at) then
            variant := flag_variant(flag, rule, context);
            return decided || jsonb_build_object(flag_name, jsonb_build_object(
                'enabled', variant -> 'value' is distinct from 'false'::jsonb,
                'variant', coalesce(variant ->> 'name', 'on')
            ));
        end if;
    end loop;
    return decided || off;
end
$$;

-- Whether another flag is what it must be; one that does not exist, or is too deep to follow, never is.
create function prerequisite_holds(required jsonb, found jsonb) returns boolean
language sql immutable set search_path = opsbook, pg_temp as $$
    select coalesce(
        (found ->> 'enabled')::boolean = wanted
            and (not wanted or variants = '[]' or variants ? (found ->> 'variant')),
        false
    )
    from (select coalesce((required ->> 'enabled')::boolean, true) as wanted,
        coalesce(required -> 'variants', '[]') as variants) r
$$;

-- What a flag is for a context: {"enabled", "variant"}, as the kit and OFREP have it.
create function evaluate_flag(flag_name text, context jsonb, at timestamptz default now()) returns jsonb
language sql stable set search_path = opsbook, pg_temp as $$
    select coalesce(
        nullif(decide_flag(flag_name, context, at, '{}', 0) -> flag_name, 'null'), '{"enabled": false, "variant": "off"}'
    )
$$;

create function flag_enabled(flag_name text, context jsonb default '{}') returns boolean
language sql stable set search_path = opsbook, pg_temp as $$
    select (evaluate_flag(flag_name, context) ->> 'enabled')::boolean
$$;
comment on function flag_enabled is 'Whether a flag is on for a context such as {"targetingKey": "u1", "plan": "pro"}.';

revoke execute on all functions in schema opsbook from public;
