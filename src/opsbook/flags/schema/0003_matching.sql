-- Whether a constraint holds for a context, in SQL as in the kit: the grammar of values, comparisons, patterns.

-- A constraint's values as texts, or null where its operator cannot work with them.
create function constraint_values(given jsonb) returns text[]
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    operator text := given ->> 'operator';
    texts text[] := array(select as_text(v) from jsonb_array_elements(coalesce(given -> 'values', '[]')) v);
begin
    if operator in ('in', 'not_in', 'contains', 'starts_with', 'ends_with') then
        return texts;
    end if;
    if operator = 'in_network' then
        texts := array(select n::text from unnest(texts) t, as_network(t) n where n is not null);
        return case when texts = '{}' and jsonb_array_length(coalesce(given -> 'values', '[]')) > 0 then null else texts end;
    end if;
    if array_length(texts, 1) is distinct from 1 then
        return null;
    end if;
    return case
        when operator = 'matches' and length(texts[1]) <= 500 then texts
        when operator like 'number\_%' and as_number(texts[1]) is not null then texts
        when operator like 'version\_%' and version_parts(texts[1]) is not null then texts
        when operator like 'date\_%' and as_instant(texts[1]) is not null then texts
    end;
end
$$;

create function as_text(value jsonb) returns text
language sql immutable as $$
    select case jsonb_typeof(value)
        when 'string' then value #>> '{}'
        when 'boolean' then value #>> '{}'
        when 'number' then case when abs(value::numeric) < 1e308 then trim_scale(value::numeric)::text end
    end
$$;

-- Numbers, moments and networks have one grammar here and in the kit (targeting/operators.py).
create function as_number(value text) returns double precision
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    exact numeric;
    rounded double precision;
begin
    value := btrim(value, ' ');
    if value !~ '^[+-]?([0-9]{1,200}(\.[0-9]{0,200})?|\.[0-9]{1,200})([eE][+-]?[0-9]{1,3})?$' then
        return null;
    end if;
    exact := value::numeric;
    if abs(exact) > 1.7e308 then
        return null;
    end if;
    -- What the cast refuses is left out first; the bounds that count are the double's, as the kit has them.
    rounded := case when abs(exact) < 1e-307 / 2 then 0 else exact::double precision end;
    return case when abs(rounded) < 1e-307::double precision then 0
        when abs(rounded) < 1e308::double precision then rounded end;
end
$$;

create function as_instant(value text) returns timestamptz
language plpgsql immutable set search_path = opsbook, pg_temp as $$
begin
    if value !~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?'
        '([Zz]|[+-](0[0-9]|1[0-5]):?[0-5][0-9])$') then
        return null;
    end if;
    -- Finer digits are cut off as in the kit, where the cast would round them.
    return regexp_replace(value, '(\.[0-9]{6})[0-9]+', '\1')::timestamptz;
exception when datetime_field_overflow or invalid_datetime_format then
    return null;
end
$$;

create function as_network(value text) returns inet
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    ipv4 constant text := '(0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])'
        '(\.(0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])){3}';
begin
    value := btrim(value, ' ');
    if value ~ ('^' || ipv4 || '(/(0|[1-9]|[12][0-9]|3[0-2]))?$') then
        return value::inet;
    end if;
    if value ~ ('^[0-9A-Fa-f:]*:(' || ipv4 || '|:|[0-9A-Fa-f]+)(/(0|[1-9][0-9]{0,2}))?$')
        and value !~ '[0-9A-Fa-f]{5}'
    then
        return as_ipv6(value);
    end if;
    return null;
end
$$;

-- Apart, for catching an error is slow and IPv4 has no need of it.
create function as_ipv6(value text) returns inet
language plpgsql immutable as $$
begin
    return value::inet;
exception when invalid_text_representation then
    return null;
end
$$;

-- Semantic version 2.0.0 as {major, minor, patch, identifiers…}; null for what is none.
create function version_parts(value text) returns text[]
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    found text[];
begin
    if length(value) > 256 then
        return null;
    end if;
    found := regexp_match(value,
        '^(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})'
        '(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?'
        '(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$');
    if found is null then
        return null;
    end if;
    return found[1:3] || coalesce(string_to_array(found[4], '.'), '{}');
end
$$;

-- Below, at or above zero as the first version comes before, with or after the second (semver 2.0.0, 11).
create function compare_versions(one text[], other text[]) returns int
language plpgsql immutable set search_path = opsbook, pg_temp as $$
declare
    here int := coalesce(array_length(one, 1), 0);
    there int := coalesce(array_length(other, 1), 0);
    a text;
    b text;
begin
    for i in 1..3 loop
        if one[i]::numeric <> other[i]::numeric then
            return sign(one[i]::numeric - other[i]::numeric);
        end if;
    end loop;
    if here = 3 or there = 3 then
        return sign(there - here);
    end if;
    for i in 4..least(here, there) loop
        a := one[i];
        b := other[i];
        if a = b then
            continue;
        end if;
        if a ~ '^[0-9]+$' and b ~ '^[0-9]+$' then
            return sign(a::numeric - b::numeric);
        end if;
        if a ~ '^[0-9]+$' or b ~ '^[0-9]+$' then
            return case when a ~ '^[0-9]+$' then -1 else 1 end;
        end if;
        return case when a < b collate "C" then -1 else 1 end;
    end loop;
    return sign(here - there);
end
$$;

-- A field of a context as text; targetingKey and userId stand in for each other.
create function context_text(context jsonb, field text) returns text
language sql immutable set search_path = opsbook, pg_temp as $$
    select coalesce(
        as_text(context -> field),
        case field
            when 'targetingKey' then as_text(context -> 'userId')
            when 'userId' then as_text(context -> 'targetingKey')
        end
    )
$$;

create function constraint_holds(given jsonb, context jsonb, at timestamptz) returns boolean
language plpgsql stable set search_path = opsbook, pg_temp as $$
declare
    operator text := given ->> 'operator';
    inverted boolean := coalesce((given ->> 'inverted')::boolean, false) <> (operator = 'not_in');
    fold boolean := coalesce((given ->> 'case_insensitive')::boolean, false);
    value text := context_text(context, given ->> 'field');
    texts text[] := constraint_values(given);
    admitted boolean;
begin
    if texts is null then
        return false;
    end if;
    if value is null and given ->> 'field' = 'currentTime' then
        value := to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    end if;
    if value is null then
        return inverted;
    end if;
    if fold then
        texts := array(select lower(t) from unnest(texts) t);
        if operator <> 'matches' then
            value := lower(value);
        end if;
    end if;
    admitted := case operator
        when 'in' then value = any (texts)
        when 'not_in' then value = any (texts)
        when 'contains' then exists (select from unnest(texts) t where strpos(value, t) > 0)
        when 'starts_with' then exists (select from unnest(texts) t where starts_with(value, t))
        when 'ends_with' then exists (select from unnest(texts) t where right(value, length(t)) = t)
        when 'in_network' then value !~ '/' and exists (select from unnest(texts) t where as_network(value) <<= t::inet)
        when 'matches' then matches_pattern(value, given #>> '{values,0}', fold)
        when 'number_equals' then as_number(value) = as_number(texts[1])
        when 'number_above' then as_number(value) > as_number(texts[1])
        when 'number_at_least' then as_number(value) >= as_number(texts[1])
        when 'number_below' then as_number(value) < as_number(texts[1])
        when 'number_at_most' then as_number(value) <= as_number(texts[1])
        when 'version_equals' then compare_versions(version_parts(value), version_parts(texts[1])) = 0
        when 'version_above' then compare_versions(version_parts(value), version_parts(texts[1])) > 0
        when 'version_at_least' then compare_versions(version_parts(value), version_parts(texts[1])) >= 0
        when 'version_below' then compare_versions(version_parts(value), version_parts(texts[1])) < 0
        when 'version_at_most' then compare_versions(version_parts(value), version_parts(texts[1])) <= 0
        when 'date_after' then as_instant(value) > as_instant(texts[1])
        when 'date_before' then as_instant(value) < as_instant(texts[1])
    end;
    return coalesce(admitted, false) <> inverted;
end
$$;

-- The patterns that mean the same to RE2 and to Postgres: literals, ., ^, $, groups, alternatives, \d, \w, classes of
-- ASCII characters that name what they hold, quantifiers; few counted ones, lest RE2 finds them too large.
create function is_common_pattern(pattern text, fold boolean) returns boolean
language sql immutable as $$
    select pattern ~ (
            '^(\(\?:|\(|\||\^|\$'
            '|(\)|[^]\u0001-\u001f\u007f\\^$.|?*+(){}[]|\.|\\[dw]|\\[].^$*+?()[{}|\\/@-]'
            '|\[([0-9]-[0-9]|[A-Z]-[A-Z]|[a-z]-[a-z]|[A-Za-z0-9_ .,@+!%:;=/#]|\\[dw])+-?\])'
            '([*+?]\??)?'
            '|([^]\u0001-\u001f\u007f\\^$.|?*+(){}[]|\.|\\[dw]|\\[].^$*+?()[{}|\\/@-]'
            '|\[([0-9]-[0-9]|[A-Z]-[A-Z]|[a-z]-[a-z]|[A-Za-z0-9_ .,@+!%:;=/#]|\\[dw])+-?\])'
            '\{[0-9]{1,3}(,[0-9]{0,3})?\}\??'
            ')*$')
        and regexp_count(pattern, '\{') <= 10
        and not (fold and pattern ~ '[^\u0001-\u007f]')
$$;

-- What SQL cannot answer as RE2 does is an error, never another answer.
create function matches_pattern(value text, pattern text, fold boolean) returns boolean
language plpgsql immutable set search_path = opsbook, pg_temp as $$
begin
    -- In Unicode ſ is an s and K a k; in "C", which keeps \d and \w to ASCII as RE2 has them, they are not.
    if is_common_pattern(pattern, fold) and not (fold and value ~ '[\u017f\u212a]') then
        pattern := '(?p)' || pattern;
        return case when fold then value collate "C" ~* pattern else value collate "C" ~ pattern end;
    end if;
    raise exception 'SQL cannot evaluate the pattern %: ask the kit or OFREP', pattern;
exception when invalid_regular_expression then
    raise exception 'SQL cannot evaluate the pattern %: ask the kit or OFREP', pattern;
end
$$;

revoke execute on all functions in schema opsbook from public;
