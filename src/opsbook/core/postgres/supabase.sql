-- What a Supabase project finds in its database before its first migration: roles, the `auth` schema, default grants.
--
-- Run once by the superuser `supabase_admin` in the service database of an embedded cluster, where `postgres` is the
-- project's role and no superuser; running it again changes nothing. Left out is what needs Supabase's own servers or extensions that the embedded build lacks
-- (storage, realtime, vault, pgcrypto, uuid-ossp): use `gen_random_uuid()`, which Postgres has built in.

-- Roles ---------------------------------------------------------------------------------------------------------------

-- A role belongs to the whole cluster, so it may be there already, or be made by another session at this moment.
do $$
declare
    wanted record;
begin
    for wanted in
        select *
        from (values
            ('anon', 'nologin noinherit'),                     -- a visitor
            ('authenticated', 'nologin noinherit'),            -- a signed-in user
            ('service_role', 'nologin noinherit bypassrls'),   -- the service itself, past row level security
            ('authenticator', 'login noinherit'),              -- what an API server logs in as, to become one of the three
            ('supabase_auth_admin', 'nologin noinherit')       -- owner of what is in `auth`
        ) as roles (name, attributes)
    loop
        if not exists (select from pg_roles where rolname = wanted.name) then
            begin
                execute format('create role %I %s', wanted.name, wanted.attributes);
            exception
                when duplicate_object or unique_violation then null;
            end;
        end if;
    end loop;
end
$$;

-- Membership and role settings only where they are missing: two sessions that write the same row of a
-- shared catalogue at once would make one of them fail.
do $$
declare
    wanted record;
begin
    for wanted in
        select *
        from (values
            ('authenticator', 'anon', false),
            ('authenticator', 'authenticated', false),
            ('authenticator', 'service_role', false),
            ('postgres', 'anon', true),
            ('postgres', 'authenticated', true),
            ('postgres', 'service_role', true),
            ('postgres', 'authenticator', true),
            ('postgres', 'supabase_auth_admin', false),
            ('postgres', 'pg_monitor', false),
            ('postgres', 'pg_signal_backend', false)
        ) as memberships (member, granted, may_administer)
        where not exists (
            select
            from pg_auth_members
            where pg_auth_members.member = memberships.member::regrole
            and pg_auth_members.roleid = memberships.granted::regrole
        )
    loop
        execute format('grant %I to %I with admin %s', wanted.granted, wanted.member, wanted.may_administer::text);
    end loop;

    if not exists (select from pg_db_role_setting where setrole = 'authenticator'::regrole and setdatabase = 0) then
        alter role authenticator set statement_timeout = '8s';
    end if;
end
$$;

-- Schemas -------------------------------------------------------------------------------------------------------------

-- `supabase db reset` drops every schema but those of `supabase_admin`.
create schema if not exists auth authorization supabase_admin;
create schema if not exists extensions authorization supabase_admin;

grant usage on schema auth, extensions, public to anon, authenticated, service_role;
grant all on schema auth, extensions to postgres, supabase_auth_admin;

-- Unqualified names of extensions are found, as in `select * from pg_stat_statements`.
do $$
begin
    execute format('alter database %I set search_path = "$user", public, extensions', current_database());
end
$$;

-- In `extensions`, wherever it was made: an extension in `public` is offered to every caller of a data API.
create extension if not exists pg_stat_statements with schema extensions;
alter extension pg_stat_statements set schema extensions;

-- Users ---------------------------------------------------------------------------------------------------------------

-- The columns of Supabase's own table that policies, triggers and services read or write.
create table if not exists auth.users (
    instance_id uuid,
    id uuid primary key default gen_random_uuid(),
    aud varchar(255),
    role varchar(255),
    email varchar(255),
    encrypted_password varchar(255),
    email_confirmed_at timestamptz,
    invited_at timestamptz,
    confirmation_token varchar(255),
    confirmation_sent_at timestamptz,
    recovery_token varchar(255),
    recovery_sent_at timestamptz,
    email_change_token_new varchar(255),
    email_change varchar(255),
    email_change_sent_at timestamptz,
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_super_admin boolean,
    created_at timestamptz,
    updated_at timestamptz,
    phone text unique,
    phone_confirmed_at timestamptz,
    confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
    banned_until timestamptz,
    is_sso_user boolean not null default false,
    deleted_at timestamptz,
    is_anonymous boolean not null default false
);
comment on table auth.users is 'People who can sign in to the service; passwords are hashes.';

-- One account an address; single sign-on may bring the same address from several providers.
create unique index if not exists users_email_partial_key on auth.users (email) where not is_sso_user;

alter table auth.users owner to supabase_auth_admin;
alter table auth.users enable row level security;
grant all on auth.users to postgres;

-- Who is asking -------------------------------------------------------------------------------------------------------

-- The verified claims of the caller's token travel in the transaction-local setting `request.jwt.claims`
-- (one JSON object), or one by one in `request.jwt.claim.<name>` as older API servers set them.

create or replace function auth.jwt() returns jsonb
language sql stable
set search_path = ''
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;
comment on function auth.jwt() is 'The claims of the caller''s token, or null without one.';

create or replace function auth.uid() returns uuid
language sql stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), auth.jwt() ->> 'sub')::uuid
$$;
comment on function auth.uid() is 'The caller''s user id, or null for a visitor.';

create or replace function auth.role() returns text
language sql stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''), auth.jwt() ->> 'role')
$$;
comment on function auth.role() is 'The role that the caller''s token names: anon, authenticated or service_role.';

create or replace function auth.email() returns text
language sql stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('request.jwt.claim.email', true), ''), auth.jwt() ->> 'email')
$$;
comment on function auth.email() is 'The caller''s e-mail address, or null.';

alter function auth.jwt() owner to supabase_auth_admin;
alter function auth.uid() owner to supabase_auth_admin;
alter function auth.role() owner to supabase_auth_admin;
alter function auth.email() owner to supabase_auth_admin;

-- Default grants ------------------------------------------------------------------------------------------------------

-- Whatever `postgres` makes in `public` is open to the three API roles: row level security is what protects it.
grant all on all tables in schema public to postgres, anon, authenticated, service_role;
grant all on all sequences in schema public to postgres, anon, authenticated, service_role;
grant all on all routines in schema public to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on routines to anon, authenticated, service_role;

-- What migrations add their tables to for change streams; nothing is published until they do.
do $$
begin
    if not exists (select from pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
        alter publication supabase_realtime owner to postgres;
    end if;
end
$$;
