-- Feature flags and their history. What becomes of a change, however it is made, stands in 0011_changes.sql.

create table feature_flags (
    name text primary key,
    enabled boolean not null default false,
    kill_switch boolean not null default false,
    rollout_percentage numeric not null default 100,
    description text not null default '',
    owner text,
    tags text[] not null default '{}',
    rules jsonb not null default '[]',
    variants jsonb not null default '[]',
    prerequisites jsonb not null default '[]',
    expires_at timestamptz,
    revision bigint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    archived_at timestamptz,
    -- Any script's letters and symbols, for names from elsewhere; no control characters, no blanks (Unicode's White_Space;
    -- spelt out, since [:space:] is the locale's) and nothing that breaks a path, as NAME_PATTERN has it.
    constraint "a flag's name has 1 to 200 characters, no blanks and no / ? # %"
        check (name ~ '^[^\u0001-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000/?#%\\]{1,200}$'
            and name !~ '^\.'),
    constraint "rollout_percentage is between 0 and 100"
        check (rollout_percentage between 0 and 100),
    -- numeric(5, 2) would round 100.004 to 100 instead of refusing it.
    constraint "rollout_percentage has at most two decimals"
        check (rollout_percentage = round(rollout_percentage, 2)),
    -- What every reader's calendar has, in any zone; 'infinity' and 44 BC are none of it.
    constraint "moments are in the years 1 to 9999"
        check (least(expires_at, archived_at, created_at) >= '0001-01-02T00:00:00Z'
            and greatest(expires_at, archived_at, created_at) < '9999-12-31T00:00:00Z'),
    constraint "a description has at most 2,000 characters" check (length(description) <= 2000),
    constraint "an owner has at most 200 characters" check (length(owner) <= 200),
    constraint "at most 20 tags, none null, of 1,000 characters together"
        check (coalesce(array_length(tags, 1), 0) <= 20 and array_position(tags, null) is null
            and length(array_to_string(tags, '')) <= 1000),
    constraint "rules, variants and prerequisites are arrays"
        check (jsonb_typeof(rules) = 'array' and jsonb_typeof(variants) = 'array'
            and jsonb_typeof(prerequisites) = 'array')
);
-- To compress a large rule set takes longer than to write it, and a kill may wait for its turn behind that.
alter table feature_flags alter rules set storage external, alter variants set storage external;
comment on table feature_flags is 'The present state of each flag; kill_switch beats everything.';

create table feature_flag_revisions (
    revision bigint primary key,
    name text not null,
    action text not null check (action in ('create', 'change', 'delete')),
    before jsonb,
    after jsonb,
    changed_at timestamptz not null default clock_timestamp(),
    actor text not null,
    actor_kind text not null,
    reason text
);
alter table feature_flag_revisions alter before set storage external, alter after set storage external;
comment on table feature_flag_revisions is 'Every state that a flag has had; a null `after` is a deletion.';
create index feature_flag_revisions_name on feature_flag_revisions (name, revision desc);

create function refuse_truncate() returns trigger
language plpgsql as $$
begin
    raise exception 'truncate would leave no history: delete the flags instead'
        using errcode = 'insufficient_privilege';
end
$$;
create trigger refuse_truncate before truncate on feature_flags
    for each statement execute function refuse_truncate();
create trigger append_only before update or delete on feature_flag_revisions
    for each row execute function refuse_change('feature_flag_revisions');
create trigger append_only_truncate before truncate on feature_flag_revisions
    for each statement execute function refuse_change('feature_flag_revisions');

revoke execute on all functions in schema opsbook from public;
