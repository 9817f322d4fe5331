-- Blocked addresses: triggers give every change, however many networks it has, one revision and its audit record.

create table address_blocks (
    network cidr primary key,
    reason text not null default '',
    expires_at timestamptz,
    revision bigint not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    -- Half of IPv4 by a slip of the keyboard is an outage, not a block.
    constraint "a block is no wider than /8 for IPv4 and /16 for IPv6"
        check (masklen(network) >= case family(network) when 4 then 8 else 16 end),
    -- Callers are compared as IPv4, whatever clothes their address came in.
    constraint "an IPv4 network is written as one, not mapped into IPv6"
        check (not network <<= '::ffff:0:0/96'),
    constraint "a reason has at most 2,000 characters" check (length(reason) <= 2000),
    constraint "a block ends in the years 1 to 9999"
        check (expires_at >= '0001-01-02T00:00:00Z' and expires_at < '9999-12-31T00:00:00Z')
);
comment on table address_blocks is 'Networks whose requests are refused; without expires_at until they are removed.';
create index address_blocks_revision on address_blocks (revision);
create index address_blocks_expiry on address_blocks (expires_at) where expires_at is not null;
create index address_blocks_containment on address_blocks using spgist ((network::inet));

-- Apart from the blocks, for it changes every few seconds, and is nobody's doing.
create table address_block_hits (
    network cidr primary key,
    hits bigint not null,
    last_hit_at timestamptz not null
);
comment on table address_block_hits is 'How many requests each block has refused.';

create table address_block_counts (
    minute timestamptz primary key,
    refused bigint not null
);
comment on table address_block_counts is 'How many requests all blocks refused, in all processes; kept for 7 days.';

create table address_block_removals (
    network cidr primary key,
    revision bigint not null,
    removed_at timestamptz not null default now()
);
comment on table address_block_removals is 'What was lifted lately, for the processes that still hold it.';
create index address_block_removals_revision on address_block_removals (revision);

create table firewall_pushes (
    firewall text primary key,
    pushed_at timestamptz not null,
    revision bigint not null,
    networks bigint not null,
    left_out bigint not null,
    error text
);
comment on table firewall_pushes is 'What came of telling a front end''s firewall of the blocks, last time.';

insert into revisions values ('blocks', 0) on conflict do nothing;

-- One revision for each statement, taken before it touches a row: writers queue here, not on each other's rows.
-- Left in the transaction for the row trigger, which a list of 100,000 networks calls as often.
create function take_block_revision() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    perform set_config('opsbook.block_revision', next_revision('blocks')::text, true);
    perform set_config('opsbook.block_actor', (acting()).actor, true);
    return null;
end
$$;
create trigger take_revision before insert or update or delete on address_blocks
    for each statement execute function take_block_revision();

create function number_address_block() returns trigger
language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if new.network <> old.network then
            raise exception 'a block''s network cannot change: block % and remove %', new.network, old.network
                using errcode = 'check_violation';
        end if;
        new.created_at := old.created_at;
        new.created_by := old.created_by;
    else
        new.created_by := current_setting('opsbook.block_actor');
    end if;
    new.revision := current_setting('opsbook.block_revision')::bigint;
    return new;
end
$$;
create trigger number_change before insert or update on address_blocks
    for each row execute function number_address_block();

-- A record for each network, as long as a person would read them; for a whole list one, with the first hundred.
create function audit_address_blocks(verb text, changes jsonb[], total bigint) returns void
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    change jsonb;
begin
    if total <= array_length(changes, 1) then
        foreach change in array changes loop
            perform audit(
                'address_block.' || verb, 'address_block',
                coalesce(change -> 'after', change -> 'before') ->> 'network', change -> 'before', change -> 'after'
            );
        end loop;
    elsif total > 0 then
        perform audit(
            'address_block.' || verb, 'address_block', total || ' networks', null,
            jsonb_build_object('count', total, 'first', to_jsonb(changes))
        );
    end if;
end
$$;

create function record_added_blocks() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    perform audit_address_blocks(
        'create',
        array(select jsonb_build_object('after', to_jsonb(a)) from added a order by a.network limit 100),
        (select count(*) from added)
    );
    return null;
end
$$;
create trigger record_added after insert on address_blocks referencing new table as added
    for each statement execute function record_added_blocks();

-- Without nested loops: of a transition table the planner knows no sizes, and 100,000 × 100,000 rows never end.
create function record_changed_blocks() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp set enable_nestloop = off as $$
declare
    changes jsonb[];
    total bigint;
begin
    with changed as (
        select b as before, a as after
        from changed_from b join changed_to a using (network)
        where (a.reason, a.expires_at) is distinct from (b.reason, b.expires_at)
    )
    select
        array(
            select jsonb_build_object('before', to_jsonb(before), 'after', to_jsonb(after))
            from changed order by (after).network limit 100
        ),
        (select count(*) from changed)
    into changes, total;
    perform audit_address_blocks('change', changes, total);
    return null;
end
$$;
create trigger record_changed after update on address_blocks
    referencing old table as changed_from new table as changed_to
    for each statement execute function record_changed_blocks();

create function record_removed_blocks() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    insert into address_block_removals (network, revision)
    select network, current_setting('opsbook.block_revision')::bigint from removed
    on conflict (network) do update set revision = excluded.revision, removed_at = now();
    delete from address_block_hits h using removed r where h.network = r.network;
    perform audit_address_blocks(
        'delete',
        array(select jsonb_build_object('before', to_jsonb(r)) from removed r order by r.network limit 100),
        (select count(*) from removed)
    );
    return null;
end
$$;
create trigger record_removed after delete on address_blocks referencing old table as removed
    for each statement execute function record_removed_blocks();

create function refuse_block_truncate() returns trigger
language plpgsql as $$
begin
    raise exception 'truncate would tell nobody: delete the blocks instead'
        using errcode = 'insufficient_privilege';
end
$$;
create trigger refuse_truncate before truncate on address_blocks
    for each statement execute function refuse_block_truncate();

revoke execute on all functions in schema opsbook from public;
