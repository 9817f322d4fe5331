-- Whom a flag is for: segments, rules, variants, prerequisites, checked when written.

alter table feature_flags
    add column value_type text not null default 'boolean'
        check (value_type in ('boolean', 'string', 'number', 'object')),
    add column off_when_expired boolean not null default false;
comment on column feature_flags.off_when_expired is 'Whether expires_at turns the flag off; otherwise it only reminds.';

create table flag_segments (
    name text primary key
        constraint "a segment's name has 1 to 200 characters, no blanks, no / ? # %"
        check (name ~ '^[^\u0001-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000/?#%\\]{1,200}$'
            and name !~ '^\.'),
    description text not null default '' check (length(description) <= 2000),
    constraints jsonb not null default '[]',
    revision bigint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table flag_segments is 'Constraints under a name, shared between flags.';

alter table flag_segments alter constraints set storage external;

create table flag_segment_revisions (like feature_flag_revisions including all);
create trigger append_only before update or delete on flag_segment_revisions
    for each row execute function refuse_change('flag_segment_revisions');
create trigger append_only_truncate before truncate on flag_segment_revisions
    for each statement execute function refuse_change('flag_segment_revisions');
create trigger refuse_truncate before truncate on flag_segments
    for each statement execute function refuse_truncate();

-- An array of texts, booleans, and numbers that every reader can hold (RFC 8259, 6). Texts, of which there may be very
-- many, are told apart at once; numbers one by one.
create function is_scalars(given jsonb) returns boolean
language sql immutable as $$
    select case
        when jsonb_typeof(given) <> 'array' then false
        when not jsonb_path_exists(given, 'strict $[*] ? (@.type() != "string" && @.type() != "boolean")') then true
        else not exists (
            select from jsonb_array_elements(given) value
            where case jsonb_typeof(value)
                when 'number' then abs(value::numeric) >= 1e308 or length(value::text) > 400
                else jsonb_typeof(value) not in ('string', 'boolean')
            end
        )
    end
$$;

create function is_texts(value jsonb) returns boolean
language sql immutable as $$
    select jsonb_typeof(value) = 'array' and not jsonb_path_exists(value, 'strict $[*] ? (@.type() != "string")')
$$;

create function refuse_targeting(what text) returns void
language plpgsql as $$
begin
    raise exception '%', what using errcode = 'check_violation';
end
$$;

-- More would take long to check and to record, while a kill waits for its turn, and long to send to every reader.
create function check_size(given jsonb, what text) returns void
language plpgsql immutable set search_path = opsbook, pg_temp as $$
begin
    if octet_length(given::text) > 1048576 then
        perform refuse_targeting(what || ' take more than 1 MiB');
    end if;
    if (select count(*) > 1000 from (
        select jsonb_path_query(given, '$[*].constraints[*]')
        union all
        select jsonb_path_query(given, '$[*].variants[*]')
        union all
        select jsonb_path_query(given, '$[*].variants[*].overrides[*]')
        union all
        select jsonb_path_query(given, '$[*].overrides[*]')
    ) part) then
        perform refuse_targeting(what || ' have more than 1,000 constraints, variants and overrides together');
    end if;
end
$$;

create function is_percentage(value jsonb) returns boolean
language sql immutable as $$
    select case jsonb_typeof(value)
        when 'number' then value::numeric between 0 and 100 and value::numeric = round(value::numeric, 2)
        else false
    end
$$;

create function has_only_keys(value jsonb, variadic known text[]) returns boolean
language sql immutable as $$
    select jsonb_typeof(value) = 'object' and (value - known) = '{}'
$$;

create function check_constraints(given jsonb, place text) returns void
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    one jsonb;
begin
    if jsonb_typeof(given) is distinct from 'array' or jsonb_array_length(given) > 100 then
        perform refuse_targeting(place || ': constraints are an array of at most 100');
    end if;
    for one in select jsonb_array_elements(given) loop
        if not has_only_keys(one, 'field', 'operator', 'values', 'inverted', 'case_insensitive')
            or jsonb_typeof(one -> 'field') is distinct from 'string'
            or length(one ->> 'field') not between 1 and 200
        then
            perform refuse_targeting(place || ': a constraint has field, operator, values, inverted, case_insensitive');
        end if;
        if coalesce(one ->> 'operator', '') not in (
            'in', 'not_in', 'contains', 'starts_with', 'ends_with', 'matches', 'in_network',
            'number_equals', 'number_above', 'number_at_least', 'number_below', 'number_at_most',
            'version_equals', 'version_above', 'version_at_least', 'version_below', 'version_at_most',
            'date_after', 'date_before'
        ) then
            perform refuse_targeting(format('%s: there is no operator %s', place, one -> 'operator'));
        end if;
        if not is_scalars(coalesce(one -> 'values', '[]'))
            or jsonb_array_length(coalesce(one -> 'values', '[]')) > 100000
        then
            perform refuse_targeting(place || ': values are an array of at most 100,000 texts, numbers or booleans');
        end if;
        if jsonb_typeof(coalesce(one -> 'inverted', 'false')) <> 'boolean'
            or jsonb_typeof(coalesce(one -> 'case_insensitive', 'false')) <> 'boolean'
        then
            perform refuse_targeting(place || ': inverted and case_insensitive are true or false');
        end if;
        if (case
            when one ->> 'operator' in ('in', 'not_in', 'contains', 'starts_with', 'ends_with') then false
            -- The first that is one suffices; constraint_values would convert them all.
            when one ->> 'operator' = 'in_network' then coalesce(one -> 'values', '[]') <> '[]' and not exists (
                select from jsonb_array_elements(one -> 'values') v where as_network(as_text(v)) is not null
            )
            else constraint_values(one) is null
        end) then
            perform refuse_targeting(format('%s: %s cannot compare with %s', place, one ->> 'operator',
                left((one -> 'values')::text, 100)));
        end if;
    end loop;
end
$$;

create function check_variants(variants jsonb, value_type text, place text) returns void
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    one jsonb;
    override jsonb;
begin
    if jsonb_typeof(variants) is distinct from 'array' or jsonb_array_length(variants) > 100 then
        perform refuse_targeting(place || ': variants are an array of at most 100');
    end if;
    for one in select jsonb_array_elements(variants) loop
        if not has_only_keys(one, 'name', 'weight', 'value', 'overrides', 'stickiness')
            or jsonb_typeof(one -> 'name') is distinct from 'string' or length(one ->> 'name') not between 1 and 200
            or jsonb_typeof(coalesce(one -> 'stickiness', '""')) not in ('string', 'null')
        then
            perform refuse_targeting(place || ': a variant has name, weight, value, overrides, stickiness');
        end if;
        if jsonb_typeof(coalesce(one -> 'weight', '1')) <> 'number'
            or coalesce(one -> 'weight', '1')::numeric not between 0 and 1000000
            or coalesce(one -> 'weight', '1')::numeric <> trunc(coalesce(one -> 'weight', '1')::numeric)
        then
            perform refuse_targeting(place || ': a weight is a whole number from 0 to 1,000,000');
        end if;
        if coalesce(jsonb_typeof(one -> 'value'), 'null') not in ('null', value_type)
            and not (value_type = 'object' and jsonb_typeof(one -> 'value') = 'array')
        then
            perform refuse_targeting(format('%s: variant %s is no %s', place, one ->> 'name', value_type));
        end if;
        if jsonb_path_exists(one -> 'value', 'strict $.**{33}') then
            perform refuse_targeting(format('%s: the value of variant %s is more than 32 deep', place, one ->> 'name'));
        end if;
        if jsonb_path_exists(one -> 'value',
            'strict $.** ? (@.type() == "number" && (@ >= 1e308 || @ <= -1e308))')
        then
            perform refuse_targeting(format('%s: variant %s has a number beyond 1e308', place, one ->> 'name'));
        end if;
        if jsonb_typeof(coalesce(one -> 'overrides', '[]')) <> 'array' then
            perform refuse_targeting(place || ': overrides are an array of {field, values}');
        end if;
        for override in select jsonb_array_elements(coalesce(one -> 'overrides', '[]')) loop
            if not has_only_keys(override, 'field', 'values') or jsonb_typeof(override -> 'field') is distinct from 'string'
                or not is_scalars(coalesce(override -> 'values', 'null'))
            then
                perform refuse_targeting(place || ': an override has field and values');
            end if;
        end loop;
    end loop;
    if (select count(distinct v ->> 'name') <> count(*) from jsonb_array_elements(variants) v) then
        perform refuse_targeting(place || ': two variants have one name');
    end if;
    if variants <> '[]' and not exists (
        select from jsonb_array_elements(variants) v where coalesce((v ->> 'weight')::numeric, 1) > 0
    ) then
        perform refuse_targeting(place || ': the weights of the variants sum to 0');
    end if;
end
$$;

create function check_rules(rules jsonb, value_type text) returns void
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    rule jsonb;
    place text;
begin
    if jsonb_array_length(rules) > 1000 then
        perform refuse_targeting('a flag has at most 1,000 rules');
    end if;
    for rule, place in select r, 'rule ' || n from jsonb_array_elements(rules) with ordinality each (r, n) loop
        if not has_only_keys(
            rule, 'name', 'constraints', 'segments', 'percentage', 'stickiness', 'group', 'variants'
        ) or exists (
            select from jsonb_each(rule) each (key, value)
            where key in ('name', 'stickiness', 'group') and jsonb_typeof(value) <> 'string'
                and not (key = 'group' and value = 'null')
        ) then
            perform refuse_targeting(
                place || ' is not a rule: it has name, constraints, segments, percentage, stickiness, group, variants'
            );
        end if;
        if not is_percentage(coalesce(rule -> 'percentage', '100')) then
            perform refuse_targeting(place || ': a percentage is a number from 0 to 100 in steps of 0.01');
        end if;
        if not is_texts(coalesce(rule -> 'segments', '[]')) then
            perform refuse_targeting(place || ': segments are an array of names');
        end if;
        perform check_constraints(coalesce(rule -> 'constraints', '[]'), place);
        perform check_variants(coalesce(rule -> 'variants', '[]'), value_type, place);
    end loop;
end
$$;

create function check_prerequisites(of_flag text, given jsonb) returns void
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    one jsonb;
    unending boolean;
    needed int;
begin
    perform check_size(given, 'the prerequisites');
    if jsonb_array_length(given) > 50 then
        perform refuse_targeting('a flag has at most 50 prerequisites');
    end if;
    for one in select jsonb_array_elements(given) loop
        if not has_only_keys(one, 'flag', 'enabled', 'variants') or jsonb_typeof(one -> 'flag') is distinct from 'string'
            or jsonb_typeof(coalesce(one -> 'enabled', 'true')) <> 'boolean'
            or not is_texts(coalesce(one -> 'variants', '[]'))
        then
            perform refuse_targeting('a prerequisite has flag, enabled, variants');
        end if;
        if not exists (select from feature_flags f where f.name = one ->> 'flag') then
            perform refuse_targeting(format('the prerequisite %L does not exist', one ->> 'flag'));
        end if;
    end loop;
    if (select count(distinct p ->> 'flag') <> count(*) from jsonb_array_elements(given) p) then
        perform refuse_targeting(format('%L names a prerequisite twice', of_flag));
    end if;
    with recursive above (name, depth) as (
        select p ->> 'flag', 1 from jsonb_array_elements(given) p
        union
        select p ->> 'flag', depth + 1
        from above
        join feature_flags f on f.name = above.name and depth <= 64, jsonb_array_elements(f.prerequisites) p
    )
    select coalesce(bool_or(name = of_flag or depth > 64), false), count(distinct name) into unending, needed from above;
    if unending then
        perform refuse_targeting(format('the prerequisites of %L lead back to it, or are more than 64 deep', of_flag));
    end if;
    if needed > 200 then
        perform refuse_targeting(format('%L needs %s flags with those that its prerequisites need: 200 at most',
            of_flag, needed));
    end if;
end
$$;

-- A name may not look like another's: by another normal form, by what cannot be seen (Default_Ignorable_Code_Point), or by
-- a word that borrows letters (Unicode Technical Standard 39, 5.1): in раypal the first two are Cyrillic. Null if it is well.
create function name_problem(given text) returns text
language sql immutable set search_path = opsbook, pg_temp as $$
    select case
        when given is not nfc normalized then format('the name %s is not in Unicode''s normal form C', given)
        when given ~ ('[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164'
            '\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]')
            then format('the name %s has characters that cannot be seen', given)
        when given ~ '[A-Za-z][\u0400-\u052f]|[\u0400-\u052f][A-Za-z]'
            then format('the name %s mixes Latin and Cyrillic letters in one word', given)
    end
$$;

-- What can be said of a flag by itself; a new one has no old state.
create function check_flag(old_flag feature_flags, new_flag feature_flags) returns void
language plpgsql immutable set search_path = opsbook, pg_temp as $$
begin
    if (new_flag.rules, new_flag.variants, new_flag.value_type)
        is distinct from (old_flag.rules, old_flag.variants, old_flag.value_type)
    then
        perform check_size(new_flag.rules, 'the rules');
        perform check_size(new_flag.variants, 'the variants');
        perform check_rules(new_flag.rules, new_flag.value_type);
        perform check_variants(new_flag.variants, new_flag.value_type, 'the flag');
    end if;
end
$$;

create function check_segment(segment flag_segments) returns void
language plpgsql immutable set search_path = opsbook, pg_temp as $$
begin
    perform check_size(segment.constraints, 'the constraints');
    perform check_constraints(segment.constraints, format('segment %s', segment.name));
end
$$;

-- What a flag names must exist.
create function prove_references(old_flag feature_flags, new_flag feature_flags) returns void
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    missing text;
begin
    if new_flag.rules is distinct from old_flag.rules then
        select format('rule %s: there is no segment %L', n, segment) into missing
        from jsonb_array_elements(new_flag.rules) with ordinality each (rule, n),
            jsonb_array_elements_text(coalesce(rule -> 'segments', '[]')) segment
        where not exists (select from flag_segments s where s.name = segment)
        limit 1;
        if missing is not null then
            perform refuse_targeting(missing);
        end if;
    end if;
    if new_flag.prerequisites is distinct from old_flag.prerequisites then
        perform check_prerequisites(new_flag.name, new_flag.prerequisites);
    end if;
end
$$;

-- A flag that others need cannot go away under them; neither can a segment.
create function refuse_orphans(of_table name, leaving text) returns void
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    dependents text;
begin
    if of_table = 'feature_flags' then
        select string_agg(f.name, ', ') into dependents
        from feature_flags f
        where f.prerequisites @> jsonb_build_array(jsonb_build_object('flag', leaving)) and f.name <> leaving;
    else
        select string_agg(f.name, ', ') into dependents
        from feature_flags f, jsonb_array_elements(f.rules) r
        where r -> 'segments' ? leaving;
    end if;
    if dependents is not null then
        perform refuse_targeting(format('%L is needed by %s', leaving, dependents));
    end if;
end
$$;

revoke execute on all functions in schema opsbook from public;
