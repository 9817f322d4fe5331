-- Revisions, the notification channel, and the append-only audit trail.

create table revisions (
    topic text primary key,
    revision bigint not null
);
comment on table revisions is 'The newest revision of each topic; readers compare it with what they hold.';

-- The row lock is held to the end of the transaction, so that commit order is revision order:
-- a reader that has seen 6 can never find 5 later. A sequence would not give that.
create function next_revision(of_topic text) returns bigint
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    taken bigint;
begin
    insert into revisions as held (topic, revision)
    values (of_topic, 1)
    on conflict (topic) do update set revision = held.revision + 1
    returning revision into taken;
    perform pg_notify('opsbook', of_topic || ':' || taken);
    return taken;
end
$$;

create type acting_person as (
    actor text,
    actor_kind text,
    ip inet,
    user_agent text,
    request_id text,
    reason text
);

-- Who acts: the transaction's own word, else what Postgres knows of the session.
create function acting() returns acting_person
language sql stable set search_path = opsbook, pg_temp as $$
    select
        coalesce(nullif(current_setting('opsbook.actor', true), ''), session_user::text),
        coalesce(nullif(current_setting('opsbook.actor_kind', true), ''), 'sql'),
        coalesce(nullif(current_setting('opsbook.ip', true), '')::inet, inet_client_addr()),
        coalesce(nullif(current_setting('opsbook.user_agent', true), ''), current_setting('application_name', true)),
        nullif(current_setting('opsbook.request_id', true), ''),
        nullif(current_setting('opsbook.reason', true), '')
$$;

create table security_audit (
    id bigint generated always as identity,
    created_at timestamptz not null default clock_timestamp(),
    actor text not null,
    actor_kind text not null check (actor_kind in ('operator', 'token', 'admin_token', 'cli', 'sql', 'system', 'anonymous')),
    action text not null,
    target_kind text,
    target text,
    before jsonb,
    after jsonb,
    ip inet,
    user_agent text,
    request_id text,
    success boolean not null default true,
    reason text,
    database_user text not null default session_user,
    primary key (created_at, id)
) partition by range (created_at);
-- To compress a large state takes longer than to write it, and others may wait for who is being recorded.
alter table security_audit alter before set storage external, alter after set storage external;
comment on table security_audit is 'Who did what, when, from where, to what, before and after. Append-only.';

create index security_audit_id on security_audit (id desc);
create index security_audit_target on security_audit (target_kind, target, created_at desc);
create index security_audit_actor on security_audit (actor, created_at desc);
create table security_audit_default partition of security_audit default;

create function refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_argv[0], lower(tg_op)
        using errcode = 'insufficient_privilege',
              hint = 'Old partitions leave by the retention policy, not by hand.';
end
$$;

-- Monthly partitions of an append-only table, from this month to `months` ahead; safe to run again
-- and by several at once. Row triggers come down from the parent; a statement trigger does not,
-- so each partition refuses truncation for itself.
create function make_monthly_partitions(parent text, months int) returns int
language plpgsql set search_path = opsbook, pg_temp as $$
declare
    first_day date;
    partition text;
    made int := 0;
begin
    perform pg_advisory_xact_lock(hashtext('opsbook.partitions'), hashtext(parent));
    for ahead in 0..months loop
        first_day := (date_trunc('month', now() at time zone 'utc') + make_interval(months => ahead))::date;
        partition := parent || to_char(first_day, '_YYYY_MM');
        if to_regclass(format('opsbook.%I', partition)) is null then
            execute format(
                'create table %I partition of %I for values from (%L) to (%L)',
                partition, parent,
                first_day::timestamp at time zone 'utc',
                (first_day + interval '1 month') at time zone 'utc'
            );
            execute format(
                'create trigger append_only_truncate before truncate on %I'
                ' for each statement execute function refuse_change(%L)',
                partition, parent
            );
            made := made + 1;
        end if;
    end loop;
    return made;
end
$$;
select make_monthly_partitions('security_audit', 12);

create trigger append_only before update or delete on security_audit
    for each row execute function refuse_change('security_audit');
create trigger append_only_truncate before truncate on security_audit
    for each statement execute function refuse_change('security_audit');
create trigger append_only_truncate before truncate on security_audit_default
    for each statement execute function refuse_change('security_audit');

create function announce_audit() returns trigger
language plpgsql as $$
begin
    perform pg_notify('opsbook', 'audit:' || new.id);
    return null;
end
$$;
create trigger announce after insert on security_audit
    for each row execute function announce_audit();

-- One record, in the name of whoever acts in this transaction.
create function audit(
    action text, target_kind text, target text, before jsonb, after jsonb,
    success boolean default true, reason text default null
) returns bigint
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    person acting_person := acting();
    written bigint;
begin
    insert into security_audit (
        actor, actor_kind, action, target_kind, target, before, after,
        ip, user_agent, request_id, success, reason
    )
    values (
        person.actor, person.actor_kind, audit.action, audit.target_kind, audit.target, audit.before, audit.after,
        person.ip, person.user_agent, person.request_id, audit.success, coalesce(audit.reason, person.reason)
    )
    returning id into written;
    return written;
end
$$;

-- A table's changes, whoever makes them and however. Arguments: target kind, the column that
-- names the target, the columns that are secret, and those too busy to record. Of a secret the
-- trail holds only that it changed (`….change_secret`).
create function audit_change() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    secret text[] := tg_argv[2];
    busy text[] := tg_argv[3];
    old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) - busy end;
    new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) - busy end;
    verb text := case
        when tg_op = 'INSERT' then 'create'
        when tg_op = 'DELETE' then 'delete'
        when exists (select from unnest(secret) s where old_row -> s is distinct from new_row -> s) then 'change_secret'
        else 'change'
    end;
begin
    if old_row is distinct from new_row then
        perform audit(
            tg_argv[0] || '.' || verb, tg_argv[0], coalesce(new_row, old_row) ->> tg_argv[1],
            old_row - secret, new_row - secret
        );
        perform next_revision('access');
    end if;
    return null;
end
$$;

-- Tamper evidence: each record is sealed, in the order in which the sealer finds it, by a hash
-- over itself and the seal before. Sealing runs apart from writing, so that an open transaction
-- somewhere never holds up the trail. The chain is that of RFC 6962's spirit, kept linear.
-- The tables' owner can switch the triggers off and compute the chain anew; that shows only
-- against a seal which was noted down elsewhere.
create table security_audit_seals (
    position bigint primary key,
    audit_id bigint not null unique,
    audit_created_at timestamptz not null,
    hash bytea not null
);
create trigger append_only before update or delete on security_audit_seals
    for each row execute function refuse_change('security_audit_seals');
create trigger append_only_truncate before truncate on security_audit_seals
    for each statement execute function refuse_change('security_audit_seals');

create function audit_seal_hash(previous bytea, record security_audit) returns bytea
language sql immutable set search_path = opsbook, pg_temp as $$
    select sha256(coalesce(previous, ''::bytea) || convert_to(jsonb_build_array(
        record.id, extract(epoch from record.created_at), record.actor, record.actor_kind, record.action,
        record.target_kind, record.target, record.before, record.after, host(record.ip), record.user_agent,
        record.request_id, record.success, record.reason, record.database_user
    )::text, 'UTF8'))
$$;

-- A transaction takes its ids before it commits, so a record may appear below those that are sealed
-- already. How far below it is looked for is `look_back`: to compare the whole trail would take
-- longer with each year. `opsbook audit verify` counts what is in no seal.
create function seal_audit(at_most int default 10000, look_back bigint default 100000) returns int
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    record security_audit;
    oldest_id bigint := coalesce((select max(audit_id) from security_audit_seals) - look_back, 0);
    last_position bigint;
    last_hash bytea;
    sealed int := 0;
begin
    perform pg_advisory_xact_lock(hashtext('opsbook.seal_audit'));
    select position, hash into last_position, last_hash
    from security_audit_seals order by position desc limit 1;
    for record in
        select a.* from security_audit a
        where a.id > oldest_id
            and not exists (select from security_audit_seals s where s.audit_id = a.id and s.audit_id > oldest_id)
        order by a.id limit at_most
    loop
        last_position := coalesce(last_position, 0) + 1;
        last_hash := audit_seal_hash(last_hash, record);
        insert into security_audit_seals values (last_position, record.id, record.created_at, last_hash);
        sealed := sealed + 1;
    end loop;
    return sealed;
end
$$;

-- Postgres lets everybody run a new function. Ours are for triggers and for the role that owns them.
revoke execute on all functions in schema opsbook from public;
