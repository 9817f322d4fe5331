-- Who follows the flags, and which revision each of them serves: a kill is done when all of them have confirmed it.

-- Unlogged: a confirmation is worth nothing after a crash, and one that waited for the disk would come late.
create unlogged table flag_readers (
    id uuid primary key,
    host text not null,
    pid int not null,
    name text not null,
    kind text not null,
    revision bigint not null,
    confirmed_at timestamptz not null default clock_timestamp(),
    lag_ms double precision,
    started_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    constraint "a reader is of kind postgres or http" check (kind in ('postgres', 'http')),
    constraint "a reader's host and name have 1 to 255 characters, none for control"
        check (host ~ '^[^[:cntrl:]]{1,255}$' and name ~ '^[^[:cntrl:]]{1,255}$')
) with (fillfactor = 50);  -- room for the next state of each row in its own page, ten seconds later
comment on table flag_readers is 'Processes that follow the flags; one that was not seen for 30 s is gone.';
comment on column flag_readers.revision is 'What it serves.';
comment on column flag_readers.lag_ms is
    'From the change''s entry in the history to the confirmation, by this database''s clock, less the time for which the reader served it until it confirmed; null for what it began with.';

-- When a revision was made, be it of a flag or of a segment.
create function flag_revision_changed_at(of_revision bigint) returns timestamptz
language sql stable set search_path = opsbook, pg_temp as $$
    select coalesce(
        (select changed_at from feature_flag_revisions where revision = of_revision),
        (select changed_at from flag_segment_revisions where revision = of_revision)
    )
$$;

-- A reader says what it serves, or just that it is still there. It gives up at once where somebody holds the table:
-- on the connection by which it confirms it also hears of the next change. The number of readers is bounded, for
-- whoever may read flags may confirm.
create function confirm_flag_revision(
    reader uuid, host text, pid int, name text, kind text, serves bigint, served_ms double precision
) returns void
language sql set search_path = opsbook, pg_temp set lock_timeout = '50ms' as $$
    insert into flag_readers as held (id, host, pid, name, kind, revision)
    select reader, host, pid, name, kind, serves
    where exists (select from flag_readers where id = reader) or (select count(*) from flag_readers) < 10000
    on conflict (id) do update
    set revision = excluded.revision,
        seen_at = clock_timestamp(),
        confirmed_at = case when excluded.revision = held.revision then held.confirmed_at else clock_timestamp() end,
        lag_ms = case
            when excluded.revision = held.revision then held.lag_ms
            else greatest(
                0, 1000 * extract(epoch from clock_timestamp() - flag_revision_changed_at(excluded.revision)) - served_ms
            )
        end
    where held.kind = excluded.kind
$$;

revoke execute on all functions in schema opsbook from public;
