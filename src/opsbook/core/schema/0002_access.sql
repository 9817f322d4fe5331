-- People, their browser sessions, machine tokens, and one-time sign-in links.

create table operators (
    id bigint generated always as identity primary key,
    email text not null check (email = lower(email) and email ~ '^[^@\s]{1,64}@[^@\s]{1,255}$'),
    name text not null check (length(name) between 1 and 200),
    role text not null check (role in ('viewer', 'operator', 'admin')),
    password_hash text,
    created_at timestamptz not null default now(),
    last_sign_in_at timestamptz,
    disabled_at timestamptz
);
create unique index operators_email on operators (email);
create trigger audited after insert or update or delete on operators
    for each row execute function audit_change('operator', 'email', '{password_hash}', '{last_sign_in_at}');

create table operator_sessions (
    id bigint generated always as identity primary key,
    token_hash bytea not null unique,
    operator_id bigint not null references operators on delete cascade,
    created_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    by_link boolean not null default false,
    ip inet,
    user_agent text
);
comment on column operator_sessions.by_link is
    'Begun with a one-time link: for a quarter of an hour a forgotten password may be replaced without being given.';
create index operator_sessions_operator on operator_sessions (operator_id, created_at desc);
create trigger audited after insert or update or delete on operator_sessions
    for each row execute function audit_change('session', 'id', '{token_hash}', '{last_seen_at}');

create table api_tokens (
    id bigint generated always as identity primary key,
    name text not null check (length(name) between 1 and 200),
    hint text not null,
    token_hash bytea not null unique,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    scopes text[] not null default '{*}' check (array_length(scopes, 1) between 1 and 50),
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
comment on column api_tokens.hint is 'The first characters of the token, so that a person can tell it from others.';
create trigger audited after insert or update or delete on api_tokens
    for each row execute function audit_change('token', 'name', '{token_hash}', '{last_used_at}');

create table sign_in_links (
    id bigint generated always as identity primary key,
    token_hash bytea not null unique,
    operator_id bigint references operators on delete cascade,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
comment on column sign_in_links.operator_id is 'Who it signs in; null invites a new person with that role.';
create trigger audited after insert or update or delete on sign_in_links
    for each row execute function audit_change('sign_in_link', 'created_by', '{token_hash}', '{}');

create table sign_in_failures (
    id bigint generated always as identity primary key,
    email text not null,
    device text,
    created_at timestamptz not null default now()
);
comment on column sign_in_failures.device is 'Hash of the device cookie of an earlier sign-in by this person, or the session in which it happened; null for a stranger.';
create index sign_in_failures_recent on sign_in_failures (email, created_at desc);
