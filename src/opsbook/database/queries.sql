-- The service database's migrations; the table and its columns are the Supabase CLI's.

-- name: wait_for_other_migrations
-- One process at a time applies migrations; the key is the ASCII text "obmg".
select pg_advisory_lock(1868721511);

-- name: make_record
-- The record of what was applied, as `supabase db push` makes it.
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text not null primary key,
    statements text[],
    name text
);

-- name: find_record
-- Whether the record exists at all.
select to_regclass('supabase_migrations.schema_migrations') is not null;

-- name: applied_versions
-- What was applied, by us or by the Supabase CLI.
select version
from supabase_migrations.schema_migrations;

-- name: record_migration
-- One applied file.
insert into supabase_migrations.schema_migrations (version, name, statements)
values (%(version)s, %(name)s, %(statements)s);

-- name: find_partition_maker
-- Whether the service brings a function that makes the partitions of its events.
select to_regprocedure('private.create_event_partitions(integer)') is not null

-- name: make_event_partitions
-- The events' coming months.
select private.create_event_partitions()
