-- Statements on rate limits.

-- name: declare
-- What the code says of its policies, as each worker writes it when it starts.
insert into opsbook.rate_limits as held (policy, declared)
select d.policy, d.declared from jsonb_to_recordset(%(policies)s) as d (policy text, declared jsonb)
order by d.policy
on conflict (policy) do update set declared = excluded.declared where held.declared <> excluded.declared

-- name: newest_revision
-- The revision of the last change.
select revision from opsbook.revisions where topic = 'limits'

-- name: overrides
-- What operators have set, and how long it still lasts: by seconds, for a worker's clock may differ from this one.
select policy, per_second, per_minute, per_hour, per_day, mode, extract(epoch from until - clock_timestamp())
from opsbook.rate_limits
where (until is null or until > clock_timestamp()) and opsbook.is_rate_limit_changed(rate_limits)

-- name: list
-- Each policy, or one: what is declared and set, what was counted lately, and how many processes count it where.
select
    l.policy, l.declared, l.per_second, l.per_minute, l.per_hour, l.per_day, l.mode, l.until, l.reason,
    l.updated_by, l.updated_at, l.revision,
    opsbook.is_rate_limit_changed(l) and (l.until is null or l.until > now()) as is_changed,
    coalesce(c.admitted, 0)::bigint as admitted, coalesce(c.refused, 0)::bigint as refused,
    coalesce(p.processes, 0) as processes, coalesce(p.in_memory, 0) as in_memory
from opsbook.rate_limits l
left join lateral (
    select sum(admitted) as admitted, sum(refused) as refused
    from opsbook.rate_limit_counts c
    where c.policy = l.policy and c.minute > now() - interval '15 minutes'
) c on true
left join lateral (
    select count(*) as processes, count(*) filter (where storage = 'memory') as in_memory
    from opsbook.rate_limit_processes p
    where l.policy = any (p.policies) and p.seen_at > now() - interval '1 minute'
) p on true
where %(policy)s::text is null or l.policy = %(policy)s
order by l.policy

-- name: set
-- Have these in force. What is null in `given` stays as it is set where `keep`, and goes back to what is declared
-- where not, as does what was set for a time that is over.
update opsbook.rate_limits l
set per_second = coalesce(g.per_second, k.per_second),
    per_minute = coalesce(g.per_minute, k.per_minute),
    per_hour = coalesce(g.per_hour, k.per_hour),
    per_day = coalesce(g.per_day, k.per_day),
    mode = coalesce(g.mode, k.mode, 'enforce'),
    until = %(until)s::timestamptz,
    reason = %(reason)s
from jsonb_to_record(%(given)s)
    as g (per_second integer, per_minute integer, per_hour integer, per_day integer, mode text)
left join opsbook.rate_limits k
    on k.policy = %(policy)s and %(keep)s and (k.until is null or k.until > clock_timestamp())
where l.policy = %(policy)s

-- name: reset
-- Go back to what is declared.
update opsbook.rate_limits
set per_second = null, per_minute = null, per_hour = null, per_day = null, mode = 'enforce'
where policy = %(policy)s

-- name: go_back
-- The same, unless somebody has set something else since its time was over.
update opsbook.rate_limits
set per_second = null, per_minute = null, per_hour = null, per_day = null, mode = 'enforce'
where policy = %(policy)s and until <= now()

-- name: over
-- The policies whose time is over.
select policy from opsbook.rate_limits where until <= now() order by policy

-- name: add_counts
-- What a process counted since its last report, by policy; in one order, so that two reports never wait for each other.
with given as (
    select g.* from jsonb_to_recordset(%(counts)s) as g (policy text, admitted bigint, refused bigint) order by g.policy
),
totals as (
    insert into opsbook.rate_limit_totals as held (policy, admitted, refused)
    select policy, admitted, refused from given
    on conflict (policy) do update
    set admitted = held.admitted + excluded.admitted, refused = held.refused + excluded.refused
)
insert into opsbook.rate_limit_counts as held (minute, policy, admitted, refused)
select date_trunc('minute', now()), policy, admitted, refused from given
on conflict (minute, policy) do update
set admitted = held.admitted + excluded.admitted, refused = held.refused + excluded.refused

-- name: add_keys
-- The keys that stood out. What is near now is of interest, not what was an hour ago.
insert into opsbook.rate_limit_keys as held (hour, policy, key, refused, used, last_at)
select date_trunc('hour', now()), g.policy, g.key, g.refused, g.used, now()
from jsonb_to_recordset(%(keys)s) as g (policy text, key text, refused bigint, used real)
order by g.policy, g.key
on conflict (hour, policy, key) do update
set refused = held.refused + excluded.refused,
    used = case
        when held.last_at > now() - interval '1 minute' then greatest(held.used, excluded.used) else excluded.used
    end,
    last_at = now()

-- name: here
-- This process counts, and where; gives how many processes do, itself included.
with here as (
    insert into opsbook.rate_limit_processes (process, policies, storage, seen_at)
    values (%(process)s, %(policies)s, %(storage)s, now())
    on conflict (process) do update
    set policies = excluded.policies, storage = excluded.storage, seen_at = excluded.seen_at
)
select count(*) + 1 from opsbook.rate_limit_processes
where process <> %(process)s and seen_at > now() - interval '1 minute' and policies && %(policies)s

-- name: gone
-- This process counts no more.
delete from opsbook.rate_limit_processes where process = %(process)s

-- name: totals
-- What was counted since the beginning.
select policy, admitted, refused from opsbook.rate_limit_totals order by policy

-- name: history
-- What a policy admitted and refused in each minute of a period.
select minute, admitted, refused from opsbook.rate_limit_counts
where policy = %(policy)s and minute > now() - %(period)s::interval
order by minute

-- name: counts
-- What one policy or all together admitted and refused, in steps of a period.
select
    date_bin(%(step)s::interval, minute, 'epoch'::timestamptz) as at,
    sum(admitted)::bigint as admitted, sum(refused)::bigint as refused
from opsbook.rate_limit_counts
where (%(policy)s::text is null or policy = %(policy)s) and minute > now() - %(period)s::interval
group by 1
order by 1

-- name: refused_keys
-- Who was refused most in a period; whole hours are counted.
select key, sum(refused)::bigint as refused, max(last_at) as last_at from opsbook.rate_limit_keys
where policy = %(policy)s and hour > now() - %(period)s::interval and refused > 0
group by key order by 2 desc, key limit %(most)s

-- name: near_keys
-- Who has lately used the largest share of a limit.
select key, max(used) as used, max(last_at) as last_at from opsbook.rate_limit_keys
where policy = %(policy)s and last_at > now() - interval '2 minutes' and used > 0
group by key order by 2 desc, key limit %(most)s

-- name: trim
-- Of this hour's and the last hour's keys keep a policy's hundred that stood out most.
delete from opsbook.rate_limit_keys k
using (
    select hour, policy, key, row_number() over (partition by hour, policy order by refused desc, used desc, key) as rank
    from opsbook.rate_limit_keys where hour > now() - interval '2 hours'
) ranked
where ranked.rank > 100 and (k.hour, k.policy, k.key) = (ranked.hour, ranked.policy, ranked.key)

-- name: tidy
-- Forget what is older than 7 days, and processes that are gone.
with counts as (delete from opsbook.rate_limit_counts where minute < now() - interval '7 days'),
keys as (delete from opsbook.rate_limit_keys where hour < now() - interval '7 days')
delete from opsbook.rate_limit_processes where seen_at < now() - interval '1 hour'
