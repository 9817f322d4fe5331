-- What every process logs, by day; and the levels that operators set for a while.

create table log_writers (
    id int generated always as identity primary key,
    host text not null,
    process_id int not null,
    program text not null,
    environment text not null,
    release text,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
);
comment on table log_writers is 'Processes that send their lines here: one row a process and start.';
comment on column log_writers.seen_at is 'When it last sent lines, at most 10 s late: a reader asks for the lines of those seen lately.';

-- A writer numbers its lines and commits them in that order, so that a reader which has seen its line 6 never finds
-- its line 5 later. One count for all writers would have each wait for the other's commit.
create table log_lines (
    received_on date not null default (now() at time zone 'utc')::date,
    received_at timestamptz not null default now(),
    writer int not null,
    number bigint not null,
    logged_at timestamptz not null,
    level text not null,
    logger text not null,
    message text not null,
    fields jsonb not null default '{}',
    exception text,
    request_id text,
    trace_id uuid,
    user_id text,
    primary key (writer, number, received_on),
    constraint "a level is debug, info, warning, error or critical"
        check (level in ('debug', 'info', 'warning', 'error', 'critical'))
) partition by range (received_on);
comment on table log_lines is 'Log lines, scrubbed. Where they come from is in log_writers: `log_lines join log_writers w on w.id = writer`.';
comment on column log_lines.fields is 'What was said besides the message, by name.';
comment on column log_lines.trace_id is 'W3C Trace Context; the errors of the same request have the same one.';

-- Words begin and end where letters and digits do, so that `could_not_connect` and `/api/events` are found by parts.
-- Without a search path of its own, which would cost more than the words; all that it calls is named in full.
create function log_words(message text, fields jsonb, exception text) returns tsvector
language sql immutable as $$
    select pg_catalog.to_tsvector('pg_catalog.simple', pg_catalog.regexp_replace(
        pg_catalog.left(message || ' ' || fields::text || ' ' || coalesce(exception, ''), 50000),
        '[^[:alnum:]]+', ' ', 'g'
    ))
$$;

-- What finds lines with all of the text's words, in any order; each may be the beginning of one.
create function log_query(wanted text) returns tsquery
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(string_agg('''' || left(word, 200) || ''':*', ' & '), '')::tsquery
    from regexp_split_to_table(lower(wanted), '[^[:alnum:]]+') word
    where word <> ''
$$;

create index log_lines_time on log_lines (logged_at desc);
create index log_lines_severe on log_lines (logged_at desc) where level in ('warning', 'error', 'critical');
create index log_lines_request on log_lines (request_id, logged_at desc) where request_id is not null;
create index log_lines_trace on log_lines (trace_id, logged_at desc) where trace_id is not null;
create index log_lines_user on log_lines (user_id, logged_at desc) where user_id is not null;
create index log_lines_words on log_lines using gin (log_words(message, fields, exception));
create table log_lines_default partition of log_lines default;
select make_daily_partitions('log_lines', 14);

-- Whether a line's fields have all of the given values, as text.
create function log_fields_match(fields jsonb, given jsonb) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select not exists (
        select from jsonb_each_text(given) each where fields ->> each.key is distinct from each.value
    )
$$;

-- Whether a line is among those that a reader wants; null is no condition. Without a search path or a subquery of its
-- own, so that Postgres puts it in place of its call, and uses the indexes.
create function log_line_is_wanted(
    line log_lines, levels text[], logger text, request text, trace uuid, person text, wanted text, given jsonb
) returns boolean
language sql stable as $$
    select (levels is null or line.level = any (levels))
        and (logger is null or line.logger = logger or starts_with(line.logger, logger || '.'))
        and (request is null or line.request_id = request)
        and (trace is null or line.trace_id = trace)
        and (person is null or line.user_id = person)
        and (wanted is null or opsbook.log_words(line.message, line.fields, line.exception) @@ opsbook.log_query(wanted))
        and (given is null or opsbook.log_fields_match(line.fields, given))
$$;

create table log_levels (
    logger text primary key default 'root',
    level text not null,
    until timestamptz not null default now() + interval '15 minutes',
    reason text,
    set_by text not null default '',
    set_at timestamptz not null default now(),
    constraint "a log level is DEBUG, INFO, WARNING, ERROR or CRITICAL"
        check (level in ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')),
    constraint "a logger's name has 1 to 200 characters without spaces" check (logger ~ '^[^[:space:][:cntrl:]]{1,200}$'),
    constraint "a log level ends after it begins, within a week"
        check (until between set_at and set_at + interval '7 days'),
    constraint "a reason has at most 2000 characters" check (length(reason) <= 2000)
);
comment on table log_levels is 'Levels that every process obeys within a second, until their end; `root` is for all loggers.';

create function stamp_log_level() returns trigger
language plpgsql set search_path = opsbook, pg_temp as $$
begin
    new.set_by := (acting()).actor;
    new.set_at := now();
    new.reason := coalesce((acting()).reason, new.reason);
    return new;
end
$$;
create trigger stamp before insert or update on log_levels for each row execute function stamp_log_level();

create function record_log_level() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    old_state jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) - '{set_by,set_at}'::text[] end;
    new_state jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) - '{set_by,set_at}'::text[] end;
    verb text := case
        when tg_op <> 'DELETE' then 'set'
        when old.until <= now() then 'expire'
        else 'end'
    end;
begin
    perform audit('log_level.' || verb, 'logger', coalesce(new_state, old_state) ->> 'logger', old_state, new_state);
    perform next_revision('log_levels');
    return null;
end
$$;
create trigger record_change after insert or update or delete on log_levels
    for each row execute function record_log_level();

revoke execute on all functions in schema opsbook from public;
