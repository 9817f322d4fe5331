-- Statements on address blocks.

-- name: whole
-- Every block that is in force, packed by family and prefix length, with the revision of that moment.
select
    coalesce((select revision from opsbook.revisions where topic = 'blocks'), 0) as revision,
    b.prefix, b.size, b.addresses, b.ends
from (select) once
left join (
    select
        masklen(network) as prefix,
        case family(network) when 4 then 4 else 16 end as size,
        string_agg(substring(inet_send(network), 5), '') as addresses,
        string_agg(float8send(coalesce(extract(epoch from expires_at)::float8, 'infinity')), '') as ends
    from opsbook.address_blocks
    where expires_at is null or expires_at > now()
    group by prefix, size
) b on true

-- name: changes_since
-- What was lifted after a revision, then what was added or changed; more than 5,000 are better read whole.
(
    select (select revision from opsbook.revisions where topic = 'blocks'), network::text, null::float8 as end_at
    from opsbook.address_block_removals
    where revision > %(revision)s
    limit 5001
)
union all
(
    select
        (select revision from opsbook.revisions where topic = 'blocks'),
        network::text,
        coalesce(extract(epoch from expires_at)::float8, 'infinity')
    from opsbook.address_blocks
    where revision > %(revision)s
    limit 5001
)

-- name: count_hits
-- Add what a process refused; in one order, so that two reports never wait for each other. What was refused for a
-- block that was lifted meanwhile counts in the minute alone.
with given as (
    select * from jsonb_to_recordset(%(counts)s) as g (network cidr, hits bigint, last_hit_at timestamptz)
),
counted as (
    insert into opsbook.address_block_counts as held (minute, refused)
    select date_trunc('minute', now()), sum(hits) from given
    on conflict (minute) do update set refused = held.refused + excluded.refused
)
insert into opsbook.address_block_hits as held (network, hits, last_hit_at)
select b.network, g.hits, g.last_hit_at
from given g
join opsbook.address_blocks b using (network)
order by b.network
on conflict (network) do update
set hits = least(held.hits::numeric + excluded.hits, 9e18), last_hit_at = greatest(held.last_hit_at, excluded.last_hit_at)

-- name: list
-- Blocks by network, from the one after `after` on; around an address, with a text in network or reason, or in force.
select
    b.network::text, b.reason, b.expires_at, b.created_at, b.created_by,
    coalesce(h.hits, 0) as hits, h.last_hit_at,
    coalesce(b.expires_at <= now(), false) as is_over
from opsbook.address_blocks b
left join opsbook.address_block_hits h using (network)
where (%(after)s::cidr is null or b.network > %(after)s::cidr)
    and (%(address)s::inet is null or b.network::inet >>= %(address)s::inet)
    and (%(text)s::text is null or strpos(lower(b.network || ' ' || b.reason), lower(%(text)s)) > 0)
order by b.network
limit %(limit)s

-- name: recently_hit
-- Blocks that refused requests, the latest first.
select b.network::text, b.reason, b.expires_at, b.created_at, b.created_by, h.hits, h.last_hit_at,
    coalesce(b.expires_at <= now(), false) as is_over
from opsbook.address_block_hits h
join opsbook.address_blocks b using (network)
order by h.last_hit_at desc
limit %(limit)s

-- name: totals
-- How many blocks there are, how many of them end by themselves, and what they have refused.
select
    count(*) as blocks,
    count(*) filter (where family(network) = 6) as ipv6,
    count(expires_at) as ending,
    coalesce((select least(sum(hits), 9e18) from opsbook.address_block_hits), 0)::bigint as hits,
    (select max(last_hit_at) from opsbook.address_block_hits) as last_hit_at
from opsbook.address_blocks

-- name: refused
-- What all blocks refused, in steps of a period.
select date_bin(%(step)s::interval, minute, 'epoch'::timestamptz) as at, sum(refused)::bigint as refused
from opsbook.address_block_counts
where minute > now() - %(period)s::interval
group by 1
order by 1

-- name: newest_revision
-- The revision of the last change; within its transaction, of the change itself.
select revision from opsbook.revisions where topic = 'blocks'

-- name: changed_in
-- The networks that one revision blocked, changed or lifted and nobody has touched since, each with what it was before.
with touched as (
    select network, false as is_lifted from opsbook.address_blocks where revision = %(revision)s
    union all
    select r.network, true from opsbook.address_block_removals r
    where r.revision = %(revision)s
        and not exists (select from opsbook.address_blocks b where b.network = r.network)
    limit %(limit)s
)
select t.network::text, t.is_lifted, a.before ->> 'reason' as reason, a.before is not null as was_blocked,
    (a.before ->> 'expires_at')::timestamptz as expires_at
from touched t
left join lateral (
    select before from opsbook.security_audit
    where target_kind = 'address_block' and target = t.network::text
    order by created_at desc, id desc
    limit 1
) a on true
order by t.network

-- name: overlaps
-- Blocks that are there and lie around or within the given networks, other than these themselves.
select b.network::text, g.network::text as given, b.network >> g.network as is_around
from unnest(%(networks)s::cidr[]) as g (network)
join opsbook.address_blocks b on b.network::inet >> g.network::inet or b.network::inet << g.network::inet
order by b.network, g.network
limit %(limit)s

-- name: add
-- Block networks; those that are blocked get the new reason and end. Says how many are new, and how many changed.
with given as (
    select distinct network from unnest(%(networks)s::cidr[]) as g (network)
), done as (
    insert into opsbook.address_blocks as held (network, reason, expires_at)
    select network, %(reason)s, %(expires_at)s from given
    on conflict (network) do update
    set reason = excluded.reason, expires_at = excluded.expires_at
    where (held.reason, held.expires_at) is distinct from (excluded.reason, excluded.expires_at)
    returning (xmax = 0) as is_new
)
select
    count(*) filter (where is_new) as added,
    count(*) filter (where not is_new) as changed,
    (select count(*) from given) - count(*) as unchanged
from done

-- name: allow_time
-- For the statement that follows, which has a long list: 100,000 networks take some seconds, more on a busy server.
set local statement_timeout = '2min'

-- name: remove
-- Lift blocks; says how many there were.
with gone as (
    delete from opsbook.address_blocks where network = any (%(networks)s::cidr[]) returning network
)
select count(*) as removed from gone

-- name: remove_expired
-- Lift what has ended by itself, which every process does at that moment by its own clock.
delete from opsbook.address_blocks where expires_at <= now()

-- name: forget_removals
-- Forget what was lifted long ago: who has not heard of it for a day reads everything anew. So with old counts.
with counts as (delete from opsbook.address_block_counts where minute < now() - interval '7 days')
delete from opsbook.address_block_removals where removed_at < now() - interval '1 day'

-- name: take_push_turn
-- Whether this connection may tell a firewall, as long as it lasts: no two workers do at once.
select pg_try_advisory_lock(hashtextextended('opsbook.push:' || %(firewall)s, 0)) as is_ours

-- name: is_told
-- Whether a firewall was told of the blocks as they are. Others may change it, so only within a quarter of an hour.
select exists (
    select from opsbook.firewall_pushes p
    join opsbook.revisions r on r.topic = 'blocks' and r.revision = p.revision
    where p.firewall = %(firewall)s and p.error is null and p.pushed_at > now() - interval '15 minutes'
) as is_told

-- name: to_push
-- What a firewall that takes only so many is to refuse: the newest blocks in force, and of one within another the
-- outer; with the revision of that moment, and how many are left out.
with outer_blocks as (
    select b.network, b.reason, b.revision
    from opsbook.address_blocks b
    where (b.expires_at is null or b.expires_at > now())
        and not exists (
            select from opsbook.address_blocks w
            where w.network::inet >> b.network::inet and (w.expires_at is null or w.expires_at > now())
        )
), newest as (
    select network, reason from outer_blocks order by revision desc, network limit %(limit)s
)
select
    (select revision from opsbook.revisions where topic = 'blocks') as revision,
    coalesce(jsonb_agg(jsonb_build_object('network', network, 'reason', reason) order by network), '[]') as rules,
    (select count(*) from outer_blocks) - count(*) as left_out
from newest

-- name: note_push
-- What came of telling a firewall.
insert into opsbook.firewall_pushes (firewall, pushed_at, revision, networks, left_out, error)
values (%(firewall)s, now(), %(revision)s, %(networks)s, %(left_out)s, %(error)s)
on conflict (firewall) do update
set (pushed_at, revision, networks, left_out, error)
    = (excluded.pushed_at, excluded.revision, excluded.networks, excluded.left_out, excluded.error)

-- name: pushes
-- What came of telling each firewall, last time.
select firewall, pushed_at, networks, left_out, error from opsbook.firewall_pushes order by firewall
