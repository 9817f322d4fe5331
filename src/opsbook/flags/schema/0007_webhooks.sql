-- Change notices: the worker reads the revisions that a webhook was not yet told of, and posts each.
-- A change itself writes nothing here, so that nothing done to a webhook can hold up a kill.

create view webhook_notices as
    select revision, name, 'flags' as topic, to_jsonb(r) || '{"topic": "flags"}' as notice
    from feature_flag_revisions r
    union all
    select revision, name, 'segments', to_jsonb(r) || '{"topic": "segments"}'
    from flag_segment_revisions r;
comment on view webhook_notices is 'What is told of each change; flags and segments share one count of revisions.';

create function newest_flag_revision() returns bigint
language sql stable set search_path = opsbook, pg_temp as $$
    select revision from revisions where topic = 'flags'
$$;

create table webhooks (
    id bigint generated always as identity primary key,
    url text not null check (url ~ '^https?://[^[:space:]]+$' and length(url) <= 2000),
    secret text not null,
    topics text[] not null default '{flags}'
        check (topics <@ array['flags', 'segments'] and topics <> '{}'),
    told_to bigint not null default newest_flag_revision(),
    disabled_at timestamptz,
    created_at timestamptz not null default now()
);
comment on table webhooks is 'Where changes are told; the secret signs what is sent.';
comment on column webhooks.told_to is 'Newest revision with a delivery; commit order is revision order, so none comes later below it.';
comment on column webhooks.disabled_at is 'Set, nothing is posted; cleared, what changed meanwhile is told then.';
create trigger record_change after insert or update or delete on webhooks
    for each row execute function audit_change('webhook', 'id', '{secret}', '{told_to}');

create table webhook_deliveries (
    webhook bigint not null references webhooks on delete cascade,
    revision bigint not null,
    attempts int not null default 0,
    next_at timestamptz default now(),
    delivered_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (webhook, revision)
);
comment on column webhook_deliveries.next_at is 'When it is tried next; null once it is delivered or given up.';
create index webhook_deliveries_due on webhook_deliveries (webhook, next_at) where next_at is not null;

create table webhook_attempts (
    webhook bigint not null,
    revision bigint not null,
    attempt int not null,
    at timestamptz not null default now(),
    milliseconds int not null,
    status int,
    error text,
    primary key (webhook, revision, attempt),
    foreign key (webhook, revision) references webhook_deliveries on delete cascade
);
comment on table webhook_attempts is 'What came of each attempt: the status that was answered, or why there was none.';

revoke execute on all functions in schema opsbook from public;
