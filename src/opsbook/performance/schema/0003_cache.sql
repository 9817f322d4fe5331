-- The cache: what is to be forgotten, by whatever hand, and what it has done in all processes together.

create table cache_purges (
    revision bigint primary key,
    kind text not null,
    target text not null default '',
    digest bytea not null default '',
    origin text not null default 'operator',
    created_at timestamptz not null default now(),
    constraint "a purge is of a tag, a function, a key, or all" check (kind in ('tag', 'function', 'key', 'all')),
    constraint "a purge names its tag or function, and only a purge of all names none"
        check ((kind = 'all') = (target = '')),
    constraint "a purge of a key has the digest of its arguments" check ((kind = 'key') = (length(digest) = 16)),
    constraint "a tag or function has at most 1,000 characters" check (length(target) <= 1000),
    constraint "a purge is an operator's or the service's own" check (origin in ('operator', 'service'))
);
comment on table cache_purges is
    'What cached functions are to forget: insert a row, and every process does. Rows go after a day.';

create function take_cache_purge() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    new.revision := next_revision('cache');
    return new;
end
$$;
create trigger take before insert on cache_purges
    for each row execute function take_cache_purge();

-- What a service invalidates by itself, many times a second, is nobody's deed.
create function audit_cache_purge() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    if new.origin = 'operator' then
        perform audit(
            'cache.purge', 'cache_' || new.kind, nullif(new.target, ''), null,
            case when new.kind = 'key' then jsonb_build_object('digest', encode(new.digest, 'hex')) end
        );
    end if;
    return null;
end
$$;
create trigger audit after insert on cache_purges
    for each row execute function audit_cache_purge();

create trigger append_only before update on cache_purges
    for each row execute function refuse_change('cache_purges');

create table cache_statistics (
    hour timestamptz not null,
    function text not null,
    hits bigint not null default 0,
    shared_hits bigint not null default 0,
    stale bigint not null default 0,
    misses bigint not null default 0,
    waits bigint not null default 0,
    refreshes bigint not null default 0,
    errors bigint not null default 0,
    seconds double precision not null default 0,
    primary key (hour, function)
);
comment on table cache_statistics is
    'Calls of cached functions by the hour, as processes report them every 10 s; the hour -infinity is all before.';

create table cache_memory (
    process text not null,
    function text not null,
    entries bigint not null,
    bytes bigint not null,
    seen_at timestamptz not null,
    primary key (process, function)
);
comment on table cache_memory is 'What each process holds of each function, as it last reported.';

insert into revisions values ('cache', 0) on conflict do nothing;

revoke execute on all functions in schema opsbook from public;
