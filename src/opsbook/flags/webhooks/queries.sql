-- Statements on webhooks and what became of their deliveries.

-- name: list
-- Every webhook, without its secret, with how its deliveries stand.
select w.id, w.url, w.topics, w.disabled_at, w.created_at,
    count(*) filter (where d.next_at is not null) as waiting,
    count(*) filter (where d.delivered_at is not null) as delivered,
    count(d.webhook) filter (where d.next_at is null and d.delivered_at is null) as given_up
from opsbook.webhooks w left join opsbook.webhook_deliveries d on d.webhook = w.id
group by w.id order by w.id

-- name: add
-- A new webhook.
insert into opsbook.webhooks (url, secret, topics) values (%(url)s, %(secret)s, %(topics)s) returning id

-- name: address
-- Where a webhook posts, and the secret with which it signs.
select url, secret from opsbook.webhooks where id = %(id)s

-- name: remove
-- A webhook with its deliveries; the audit keeps that it was there.
delete from opsbook.webhooks where id = %(id)s returning id

-- name: attempts
-- What came of a webhook's newest deliveries.
select n.name, d.revision, a.attempt, a.at, a.milliseconds, a.status, a.error, d.delivered_at, d.next_at
from opsbook.webhook_deliveries d
join opsbook.webhook_notices n using (revision)
left join opsbook.webhook_attempts a using (webhook, revision)
where d.webhook = %(id)s
order by d.revision desc, a.attempt desc
limit %(limit)s

-- name: try_turn
-- Whether no other worker is posting; the turn is the session's, and ends with it.
select pg_try_advisory_lock(hashtext('opsbook.deliver_webhooks')) as is_ours

-- name: end_turn
-- Let another worker post.
select pg_advisory_unlock(hashtext('opsbook.deliver_webhooks'))

-- name: queue
-- A delivery of each change that a webhook was not yet told of. A webhook that is just being changed waits its turn.
with behind as (
    select id, topics, told_to from opsbook.webhooks
    where disabled_at is null and told_to < opsbook.newest_flag_revision()
    for no key update skip locked
), queued as (
    insert into opsbook.webhook_deliveries (webhook, revision)
    select b.id, n.revision from behind b
    join opsbook.webhook_notices n on n.revision > b.told_to and n.topic = any (b.topics)
)
update opsbook.webhooks w
set told_to = greatest(w.told_to, (select revision from opsbook.revisions where topic = 'flags'))
from behind b where w.id = b.id

-- name: claim
-- Take what is due, a few of each webhook, so that no other worker does within the lease; it is due again if this
-- one dies. The notice is text: what goes out is what is stored, whether or not anything here could decode it.
with due as (
    select d.webhook, d.revision, w.url, w.secret
    from opsbook.webhooks w
    cross join lateral (
        select * from opsbook.webhook_deliveries
        where webhook = w.id and next_at <= now()
        order by next_at, revision limit %(each)s for update skip locked
    ) d
    where w.disabled_at is null
    order by d.attempts, d.next_at, d.revision limit %(limit)s
)
update opsbook.webhook_deliveries d
set attempts = d.attempts + 1, next_at = now() + %(lease)s::interval
from due join opsbook.webhook_notices n using (revision)
where d.webhook = due.webhook and d.revision = due.revision
returning d.webhook, d.revision, d.attempts, due.url, due.secret, n.notice::text

-- name: settle
-- Note what came of an attempt, and when the next is; nothing, where the webhook was removed meanwhile.
with settled as (
    update opsbook.webhook_deliveries
    set next_at = now() + %(retry_in)s::interval, delivered_at = case when %(delivered)s then now() end
    where webhook = %(webhook)s and revision = %(revision)s
    returning webhook, revision
)
insert into opsbook.webhook_attempts (webhook, revision, attempt, milliseconds, status, error)
select webhook, revision, %(attempt)s, %(milliseconds)s, %(status)s, %(error)s from settled

-- name: tidy
-- Forget deliveries that are done with for thirty days.
delete from opsbook.webhook_deliveries where next_at is null and created_at < now() - interval '30 days'
