-- Statements on people, sessions, tokens and sign-in links.

-- name: operator_by_email
-- Somebody about to sign in.
select id, email, name, role, password_hash, disabled_at
from opsbook.operators
where email = %(email)s

-- name: operator_by_id
-- Somebody whom an admin means.
select id, email, name, role, disabled_at
from opsbook.operators
where id = %(id)s

-- name: list_operators
-- Everybody, with how many browser sessions they have open.
select
    o.id, o.email, o.name, o.role, o.created_at, o.last_sign_in_at, o.disabled_at,
    o.password_hash is not null as has_password,
    count(s.id) as open_sessions
from opsbook.operators o
left join opsbook.operator_sessions s
    on s.operator_id = o.id and s.revoked_at is null and s.expires_at > now()
group by o.id
order by o.email

-- name: count_admins
-- People who can still let others in, apart from one. Locked, lest two admins demote each other at once.
with admins as (
    select id
    from opsbook.operators
    where role = 'admin' and disabled_at is null
    order by id
    for update
)
select count(*) as others
from admins
where id <> %(except_id)s

-- name: create_operator
-- A new person.
insert into opsbook.operators (email, name, role, password_hash)
values (%(email)s, %(name)s, %(role)s, %(password_hash)s)
returning id, email, name, role

-- name: change_operator
-- Role, or whether the person may sign in at all; a null leaves it as it is.
update opsbook.operators
set role = coalesce(%(role)s, role),
    disabled_at = case
        when %(disabled)s::boolean is null then disabled_at
        when %(disabled)s then coalesce(disabled_at, now())
    end
where id = %(id)s
returning id, email, name, role, disabled_at

-- name: set_password
-- A password of the person's own choice.
update opsbook.operators
set password_hash = %(password_hash)s
where id = %(id)s

-- name: create_session
-- A browser that has signed in; none for who is barred, for which it waits where that is being done right now.
with person as (
    update opsbook.operators
    set last_sign_in_at = now()
    where id = %(operator_id)s and disabled_at is null
    returning id
)
insert into opsbook.operator_sessions (token_hash, operator_id, expires_at, by_link, ip, user_agent)
select %(token_hash)s, id, now() + make_interval(secs => %(seconds)s), %(by_link)s, %(ip)s, %(user_agent)s
from person
returning id

-- name: session_by_hash
-- The person behind a session cookie, where it is still good. Idle sessions end after their idle time.
select s.id as session_id, s.last_seen_at, o.id as operator_id, o.email, o.role
from opsbook.operator_sessions s
join opsbook.operators o on o.id = s.operator_id
where s.token_hash = %(token_hash)s
    and s.revoked_at is null
    and s.expires_at > now()
    and s.last_seen_at > now() - make_interval(secs => %(idle_seconds)s)
    and o.disabled_at is null

-- name: password_to_confirm
-- The hash of the password that somebody must give before choosing another; null where there is none,
-- or where a one-time link, as for who forgot it, was followed a moment ago.
select case when not (s.by_link and s.created_at > now() - interval '15 minutes') then o.password_hash end as hash
from opsbook.operator_sessions s
join opsbook.operators o on o.id = s.operator_id
where s.id = %(session_id)s

-- name: touch_session
-- Last seen, written at most once a minute.
update opsbook.operator_sessions
set last_seen_at = now()
where id = %(id)s and last_seen_at < now() - interval '1 minute'

-- name: list_sessions
-- Open browser sessions, newest first.
select
    s.id, o.email, s.created_at, s.last_seen_at, s.expires_at, host(s.ip) as ip, s.user_agent
from opsbook.operator_sessions s
join opsbook.operators o on o.id = s.operator_id
where s.revoked_at is null and s.expires_at > now()
order by s.last_seen_at desc
limit 200

-- name: revoke_session
-- End one session: anybody's, or that person's only.
update opsbook.operator_sessions
set revoked_at = now()
where id = %(id)s
    and revoked_at is null
    and (%(operator_id)s::bigint is null or operator_id = %(operator_id)s)
returning id

-- name: revoke_sessions_of
-- End every session of a person.
update opsbook.operator_sessions
set revoked_at = now()
where operator_id = %(operator_id)s and revoked_at is null

-- name: create_token
-- A machine's token; only its hash is kept.
insert into opsbook.api_tokens (name, hint, token_hash, role, scopes, created_by, expires_at)
values (
    %(name)s, %(hint)s, %(token_hash)s, %(role)s, %(scopes)s, %(created_by)s,
    now() + make_interval(secs => %(seconds)s)
)
returning id, name, hint, role, scopes, created_by, created_at, expires_at

-- name: list_tokens
-- Every token that was ever made, live ones first.
select id, name, hint, role, scopes, created_by, created_at, expires_at, revoked_at, last_used_at,
    revoked_at is null and (expires_at is null or expires_at > now()) as live
from opsbook.api_tokens
order by live desc, created_at desc
limit 500

-- name: token_by_hash
-- The machine behind a bearer token, good or not: the caller says why it is refused.
select id, name, role, scopes, revoked_at is not null as revoked, coalesce(expires_at <= now(), false) as expired,
    extract(epoch from expires_at - now())::double precision as seconds_left
from opsbook.api_tokens
where token_hash = %(token_hash)s

-- name: token_by_id
-- The same of a token that was recognised before, by its number.
select id, name, role, scopes, revoked_at is not null as revoked, coalesce(expires_at <= now(), false) as expired,
    extract(epoch from expires_at - now())::double precision as seconds_left
from opsbook.api_tokens
where id = %(id)s

-- name: touch_token
-- Last used, written at most once a minute.
update opsbook.api_tokens
set last_used_at = now()
where id = %(id)s and (last_used_at is null or last_used_at < now() - interval '1 minute')

-- name: revoke_token
-- End a token.
update opsbook.api_tokens
set revoked_at = now()
where id = %(id)s and revoked_at is null
returning id, name, hint

-- name: live_tokens_called
-- The live tokens that a person means: the one of that id, else all of that name.
select id, name, hint
from opsbook.api_tokens
where revoked_at is null and (id::text = %(which)s or name = %(which)s)
order by id::text <> %(which)s
fetch first 1 rows with ties

-- name: live_tokens_made_by
-- The live tokens that a person made, and those that these made in turn.
with recursive made as (
    select * from opsbook.api_tokens where created_by = %(email)s
    union
    select t.* from opsbook.api_tokens t join made on t.created_by = made.name
)
select id, name, hint, role, scopes, created_by
from made
where revoked_at is null and (expires_at is null or expires_at > now())
order by created_at desc

-- name: create_link
-- A one-time sign-in link, for a person or for whoever is invited.
insert into opsbook.sign_in_links (token_hash, operator_id, role, created_by, expires_at)
values (%(token_hash)s, %(operator_id)s, %(role)s, %(created_by)s, now() + make_interval(secs => %(seconds)s))

-- name: list_links
-- Links that would still let somebody in, newest first.
select l.id, l.role, l.created_by, l.created_at, l.expires_at, o.email
from opsbook.sign_in_links l
left join opsbook.operators o on o.id = l.operator_id
where l.used_at is null and l.expires_at > now() and o.disabled_at is null
order by l.created_at desc
limit 200

-- name: peek_link
-- What a link would do, without using it.
select l.operator_id, l.role, o.email
from opsbook.sign_in_links l
left join opsbook.operators o on o.id = l.operator_id
where l.token_hash = %(token_hash)s and l.used_at is null and l.expires_at > now() and o.disabled_at is null

-- name: use_link
-- Use a link up; nothing comes back where somebody was faster, or whom it names is barred.
update opsbook.sign_in_links l
set used_at = now()
where l.token_hash = %(token_hash)s
    and l.used_at is null
    and l.expires_at > now()
    and not exists (select from opsbook.operators o where o.id = l.operator_id and o.disabled_at is not null)
returning l.operator_id, l.role

-- name: end_link
-- Let a link run out before its time.
update opsbook.sign_in_links
set expires_at = now()
where id = %(id)s and used_at is null and expires_at > now()
returning id

-- name: end_links_of
-- Let the links made for a person and by that person run out.
update opsbook.sign_in_links l
set expires_at = now()
from opsbook.operators o
where o.id = %(operator_id)s
    and (l.operator_id = o.id or l.created_by = o.email)
    and l.used_at is null
    and l.expires_at > now()

-- name: owner
-- The first admin who may sign in, for whom `opsbook up` prints a link.
select id, email
from opsbook.operators
where role = 'admin' and disabled_at is null
order by id
limit 1

-- name: count_failures
-- Refused sign-ins of the last quarter of an hour: by strangers, or by one known device.
select count(*) as failures
from opsbook.sign_in_failures
where email = %(email)s
    and device is not distinct from %(device)s
    and created_at > now() - interval '15 minutes'

-- name: record_failure
-- One more refused sign-in.
insert into opsbook.sign_in_failures (email, device)
values (%(email)s, %(device)s)

-- name: forget_failures
-- A good sign-in clears the count of that device.
delete from opsbook.sign_in_failures
where email = %(email)s and device is not distinct from %(device)s

-- name: tidy
-- What no longer says anything: old failures, ended sessions, used-up links.
with failures as (
    delete from opsbook.sign_in_failures where created_at < now() - interval '1 day' returning 1
), links as (
    delete from opsbook.sign_in_links where expires_at < now() - interval '30 days' returning 1
)
delete from opsbook.operator_sessions
where coalesce(revoked_at, expires_at) < now() - interval '30 days'
