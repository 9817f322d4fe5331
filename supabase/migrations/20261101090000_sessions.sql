-- Where a person is signed in: one row a sign-in, kept after it ends.

create table public.sessions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    ip inet,
    user_agent text check (length(user_agent) <= 500),
    revoked_at timestamptz
);
comment on table public.sessions is 'Sign-ins; one with revoked_at set is no longer accepted.';
comment on column public.sessions.last_seen_at is 'Latest request, to within a minute.';

create index sessions_user_id_created_at on public.sessions (user_id, created_at desc);

-- A person sees their sessions, ends them, and can do nothing else: only the service starts one.
alter table public.sessions enable row level security;
revoke all on public.sessions from anon, authenticated;
grant select, update (last_seen_at, revoked_at) on public.sessions to authenticated;

create policy "People see their own sessions" on public.sessions
    for select to authenticated
    using (user_id = (select auth.uid()));

-- Only a live session can be changed, so an ended one cannot be brought back.
create policy "People end their own sessions" on public.sessions
    for update to authenticated
    using (user_id = (select auth.uid()) and revoked_at is null)
    with check (user_id = (select auth.uid()));
