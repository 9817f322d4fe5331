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
    and (%(after_id)s::bigint is null or id > %(after_id)s)
    and (
        %(text)s::text is null
        or concat_ws(' ', actor, action, target, reason, before::text, after::text) ilike %(text)s
    )
order by id desc
limit %(limit)s

-- name: seal
-- Chain what has been written since the last sealing.
select opsbook.seal_audit() as sealed

-- name: broken_seals
-- Seals whose record is gone or altered, or whose predecessor is.
select s.position, s.audit_id, case when a.id is null then 'record missing' else 'hash differs' end as problem
from (
    select position, audit_id, audit_created_at, hash,
        lag(hash) over (order by position) as previous,
        position - lag(position, 1, 0::bigint) over (order by position) as step
    from opsbook.security_audit_seals
) s
left join opsbook.security_audit a on a.id = s.audit_id and a.created_at = s.audit_created_at
where a.id is null
    or s.step <> 1
    or s.hash <> opsbook.audit_seal_hash(s.previous, a)
order by s.position
limit 100

-- name: count_seals
-- How much of the trail is sealed.
select
    (select count(*) from opsbook.security_audit_seals) as sealed,
    (
        select count(*) from opsbook.security_audit a
        where not exists (select from opsbook.security_audit_seals s where s.audit_id = a.id)
    ) as unsealed

-- name: make_partitions
-- The audit's coming months.
select opsbook.make_monthly_partitions('security_audit', %(months)s) as made
