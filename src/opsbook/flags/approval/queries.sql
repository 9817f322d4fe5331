-- Statements on change requests.

-- name: list
-- Requests, the newest first: those that wait, or decided and expired ones too.
select id, flag, fields, base_revision, reason, opsbook.request_status(r) as status, made_by, made_at, expires_at,
    decided_by, decided_at
from opsbook.flag_change_requests r
where (%(flag)s::text is null or flag = %(flag)s) and (%(decided)s or opsbook.request_status(r) = 'pending')
order by id desc
limit 500

-- name: ask
-- A change that waits for a second person; one that the same person asks for again waits already.
with waiting as (
    select r.id
    from opsbook.flag_change_requests r, opsbook.acting() person
    where r.flag = %(flag)s and opsbook.request_status(r) = 'pending' and r.fields = %(fields)s and r.base_revision = %(revision)s
        and (r.made_by, r.made_by_kind) = (person.actor, person.actor_kind)
), made as (
    insert into opsbook.flag_change_requests (flag, fields, base_revision, reason, made_by, made_by_kind)
    select %(flag)s, %(fields)s, %(revision)s, %(reason)s, '', ''
    where not exists (select from waiting)
    returning id
)
select id from waiting union all select id from made

-- name: lock
-- One request, held until the transaction ends.
select r.*, r.expires_at <= now() as is_expired, r.made_by = person.actor as is_own, person.actor_kind in ('operator', 'cli') as by_a_person
from opsbook.flag_change_requests r, opsbook.acting() person
where r.id = %(id)s
for update of r

-- name: decide
-- Approve or reject; the trigger signs it, and refuses one's own.
update opsbook.flag_change_requests set status = %(status)s where id = %(id)s returning *

-- name: use
-- Let this transaction make the change that the request is for.
select set_config('opsbook.change_request', %(id)s::text, true)
