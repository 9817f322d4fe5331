-- Statements on source maps and on the releases that they belong to.

-- name: project
-- The project of a name or a number.
select id from opsbook.error_projects where name = %(project)s or id::text = %(project)s

-- name: waiting_bytes
-- How much is held of bundles that are not yet whole.
select coalesce(sum(octet_length(content)), 0)::bigint as bytes from opsbook.source_map_chunks

-- name: add_chunk
-- Keep a piece of a bundle.
insert into opsbook.source_map_chunks (checksum, content) values (%(checksum)s, %(content)s)
on conflict (checksum) do update set received_at = now()

-- name: missing_chunks
-- Which pieces were not uploaded yet, in the order of the bundle.
select c.checksum
from unnest(%(checksums)s::bytea[]) with ordinality as c (checksum, place)
where not exists (select from opsbook.source_map_chunks held where held.checksum = c.checksum)
order by c.place

-- name: chunk
-- One piece.
select content from opsbook.source_map_chunks where checksum = %(checksum)s

-- name: drop_chunks
-- Pieces whose bundle is kept.
delete from opsbook.source_map_chunks where checksum = any (%(checksums)s)

-- name: has_bundle
-- Whether a project holds a bundle already.
select exists (
    select from opsbook.source_map_bundles where project_id = %(project_id)s and checksum = %(checksum)s
) as held

-- name: add_bundle
-- Begin a bundle; nothing where the project has it already.
insert into opsbook.source_map_bundles (project_id, checksum, debug_id, release, dist)
values (%(project_id)s, %(checksum)s, %(debug_id)s, %(release)s, %(dist)s)
on conflict (project_id, checksum) do nothing
returning id

-- name: add_map
-- Keep a map, and which scripts of the release it belongs to.
with added as (
    insert into opsbook.source_maps (bundle_id, project_id, debug_id, url, content)
    values (%(bundle_id)s, %(project_id)s, %(debug_id)s, %(url)s, %(content)s)
    returning id
)
insert into opsbook.source_map_scripts (map_id, project_id, release, dist, url)
select added.id, %(project_id)s, %(release)s, %(dist)s, script
from added, unnest(%(scripts)s::text[]) as script
where %(release)s::text is not null

-- name: end_bundle
-- Note how many maps are kept of a bundle, and which files are not.
update opsbook.source_map_bundles set files = %(files)s, passed_over = %(passed_over)s where id = %(bundle_id)s

-- name: projects_with_maps
-- Projects for whose events it pays to look for maps.
select distinct project_id from opsbook.source_map_bundles

-- name: by_debug_id
-- The map of a script by its debug id; the one uploaded last.
select id from opsbook.source_maps
where project_id = %(project_id)s and debug_id = %(debug_id)s
order by id desc
limit 1

-- name: by_address
-- The map of a script by release and address: of its own dist rather than of none, then the one uploaded last.
select map_id as id from opsbook.source_map_scripts
where project_id = %(project_id)s and release = %(release)s and dist in (%(dist)s, '') and url = any (%(urls)s)
order by dist desc, map_id desc
limit 1

-- name: map
-- A map's content.
select content from opsbook.source_maps where id = %(id)s

-- name: used
-- Note that a map is in use.
update opsbook.source_maps set used_at = now() where id = %(id)s and used_at < now() - interval '1 day'

-- name: drop_unused
-- Bundles of which no map was used for a while.
delete from opsbook.source_map_bundles b
where b.uploaded_at < now() - %(kept)s::interval
    and not exists (
        select from opsbook.source_maps m where m.bundle_id = b.id and m.used_at >= now() - %(kept)s::interval
    )

-- name: drop_abandoned_chunks
-- Pieces of uploads that were never finished.
delete from opsbook.source_map_chunks where received_at < now() - interval '1 hour'

-- name: add_release
-- Note a release, and what is said of it; what was said before and is not now stays.
insert into opsbook.error_releases as held (project_id, release, first_seen, released_at, commit_id)
values (%(project_id)s, %(release)s, now(), %(released_at)s, %(commit_id)s)
on conflict (project_id, release) do update
set released_at = coalesce(excluded.released_at, held.released_at),
    commit_id = coalesce(excluded.commit_id, held.commit_id)

-- name: releases
-- The releases of a project, newest first, or the one of a name in any project.
select r.release, r.first_seen, r.released_at, r.commit_id, p.name as project
from opsbook.error_releases r
join opsbook.error_projects p on p.id = r.project_id
where (%(project_id)s::bigint is null or r.project_id = %(project_id)s)
    and (%(release)s::text is null or r.release = %(release)s)
order by r.first_seen desc
limit 100
