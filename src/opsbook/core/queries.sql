-- Statements on the audit trail.

-- name: act_as
-- Say who acts, for the rest of this transaction; triggers and audit() read it.
select
    set_config('opsbook.actor', %(actor)s, true),
    set_config('opsbook.actor_kind', %(actor_kind)s, true),
    set_config('opsbook.ip', %(ip)s, true),
    set_config('opsbook.user_agent', %(user_agent)s, true),
    set_config('opsbook.request_id', %(request_id)s, true),
    set_config('opsbook.reason', %(reason)s, true)

-- name: record
-- One record that no trigger writes.
select opsbook.audit(
    %(action)s, %(target_kind)s, %(target)s, %(before)s, %(after)s, %(success)s, %(reason)s
) as id

-- name: search
-- Records that match every given filter, newest first.
select
    id, created_at, actor, actor_kind, action, target_kind, target, before, after,
    host(ip) as ip, user_agent, request_id, success, reason, database_user
from opsbook.security_audit
where (%(actor)s::text is null or actor = %(actor)s)
    and (%(action)s::text is null or action = %(action)s)
    and (%(target_kind)s::text is null or target_kind = %(target_kind)s)
    and (%(target)s::text is null or target = %(target)s)
    and (%(since)s::timestamptz is null or created_at >= %(since)s)
    and (%(until)s::timestamptz is null or created_at < %(until)s)
    and (%(success)s::boolean is null or success = %(success)s)
    and (%(before_id)s::bigint is null or id < %(before_id)s)
    and (
        %(text)s::text is null
        or concat_ws(' ', actor, action, target, reason, before::text, after::text) ilike %(text)s
    )
order by id desc
limit %(limit)s

-- name: seal
-- Chain what has been written since the last sealing.
select opsbook.seal_audit() as sealed

-- name: verify_seals
-- The seals that follow a position, as many as a page holds: how many, the last, and each that does not fit,
-- for its record is gone or altered, or its predecessor is. The seal at the position itself was judged before.
with page as (
    select position, audit_id, audit_created_at, hash,
        lag(hash) over (order by position) as previous,
        position - lag(position, 1, 0::bigint) over (order by position) as step
    from opsbook.security_audit_seals
    where position >= %(after)s
    order by position
    limit %(size)s
),
judged as (
    select s.position, s.audit_id, s.hash,
        case
            when a.id is null then 'record missing'
            when s.step <> 1 or s.hash <> opsbook.audit_seal_hash(s.previous, a) then 'hash differs'
        end as problem
    from page s
    left join opsbook.security_audit a on a.id = s.audit_id and a.created_at = s.audit_created_at
    where s.position > %(after)s
)
select
    count(*) as sealed,
    max(position) as last_position,
    (array_agg(encode(hash, 'hex') order by position desc))[1] as last_hash,
    coalesce(
        jsonb_agg(
            jsonb_build_object('position', position, 'audit_id', audit_id, 'problem', problem) order by position
        ) filter (where problem is not null),
        '[]'
    ) as broken
from judged

-- name: count_unsealed
-- Of the records that follow an id, as many as a page holds: how many are in no seal, and the last.
with page as (
    select id from opsbook.security_audit where id > %(after)s order by id limit %(size)s
)
select count(*) filter (where s.audit_id is null) as unsealed, max(page.id) as last_id
from page
left join opsbook.security_audit_seals s on s.audit_id = page.id

-- name: seal_at
-- The seal at a position.
select encode(hash, 'hex') as hash from opsbook.security_audit_seals where position = %(position)s

-- name: lock_holder
-- Who has held our tables for longest in a transaction that is itself waiting for nobody.
select a.pid, a.usename as database_user, a.application_name, a.state, extract(epoch from now() - a.xact_start) as seconds
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
join pg_class c on c.oid = l.relation
where l.locktype = 'relation'
    and l.granted
    and l.mode <> 'AccessShareLock'
    and l.database = (select oid from pg_database where datname = current_database())
    and c.relnamespace = to_regnamespace('opsbook')
    and a.pid <> pg_backend_pid()
    and cardinality(pg_blocking_pids(a.pid)) = 0
order by a.xact_start
limit 1

-- name: make_partitions
-- The audit's coming months.
select opsbook.make_monthly_partitions('security_audit', %(months)s) as made
