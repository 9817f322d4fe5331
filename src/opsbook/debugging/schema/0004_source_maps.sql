-- Source maps: chunks that are being uploaded, bundles of maps, the maps themselves and the scripts they belong to.

create table source_map_chunks (
    checksum bytea primary key,
    content bytea not null,
    received_at timestamptz not null default now(),
    constraint "a chunk's checksum is a SHA-1" check (octet_length(checksum) = 20),
    constraint "a chunk has 1 to 524288 bytes" check (octet_length(content) between 1 and 524288)
);
alter table source_map_chunks alter column content set storage external;
comment on table source_map_chunks is 'Pieces of bundles, until their bundle is put together or an hour has passed.';

create table source_map_bundles (
    id bigint generated always as identity primary key,
    project_id bigint not null references error_projects on delete cascade,
    checksum bytea not null,
    debug_id uuid,
    release text,
    dist text not null default '',
    files int not null default 0,
    passed_over text[] not null default '{}',
    uploaded_at timestamptz not null default now(),
    unique (project_id, checksum),
    constraint "a release has 1 to 250 characters" check (length(release) between 1 and 250),
    constraint "a dist has at most 64 characters" check (length(dist) <= 64)
);
comment on table source_map_bundles is 'What was uploaded at once, by whom see security_audit.';
comment on column source_map_bundles.files is 'How many source maps are kept of it.';
comment on column source_map_bundles.passed_over is 'Files that are no sound source maps, each with the reason.';
create trigger audited after insert or update or delete on source_map_bundles
    for each row execute function audit_change('source_map_bundle', 'id', '{}', '{}');

create table source_maps (
    id bigint generated always as identity primary key,
    bundle_id bigint not null references source_map_bundles on delete cascade,
    project_id bigint not null,
    debug_id uuid,
    url text not null,
    content bytea not null,
    used_at timestamptz not null default now()
);
-- Compressed already.
alter table source_maps alter column content set storage external;
comment on table source_maps is 'Source maps as they are searched: decoded, in columns (opsbook.debugging.sourcemaps.source_map).';
comment on column source_maps.used_at is 'When a process last loaded it, to the day; what is not used goes after a while.';
create index source_maps_debug_id on source_maps (project_id, debug_id) where debug_id is not null;
create index source_maps_bundle on source_maps (bundle_id);

create table source_map_scripts (
    map_id bigint not null references source_maps on delete cascade,
    project_id bigint not null,
    release text not null,
    dist text not null default '',
    url text not null
);
comment on table source_map_scripts is 'For scripts without debug id: which map belongs to the script at an address, in a release.';
create index source_map_scripts_url on source_map_scripts (project_id, release, url);
create index source_map_scripts_map on source_map_scripts (map_id);

-- Told when the transaction ends, so that no upload waits for another's.
create function announce_source_maps() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    perform next_revision('source_maps');
    return null;
end
$$;
create constraint trigger announce after insert or update or delete on source_map_bundles
    deferrable initially deferred for each row execute function announce_source_maps();

alter table error_releases
    add column released_at timestamptz,
    add column commit_id text check (length(commit_id) between 1 and 200);
comment on column error_releases.released_at is 'When a deployment said that it was out; null where none did.';

revoke execute on all functions in schema opsbook from public;
