-- Quotas by the day, of events and of what is kept of them; and some for whoever did not ask for others.

alter table error_projects
    add column events_per_day int,
    add column megabytes_per_day int,
    add constraint "a quota of a day is at least 1" check (events_per_day >= 1 and megabytes_per_day >= 1),
    alter column events_per_minute set default 60000,
    alter column events_per_day set default 5000000,
    alter column megabytes_per_day set default 1000;
comment on table error_projects is
    'Who sends errors. Quotas are null for none; whoever knows a project''s public key can send, and fill the disk without.';
comment on column error_projects.megabytes_per_day is
    'Of everything kept that its senders send, in 1,000,000 bytes, with what rows and indexes take, about.';
update error_projects
set events_per_minute = default, events_per_day = default, megabytes_per_day = default
where name = 'default' and events_per_minute is null and events_per_hour is null;

alter table error_quota_use
    add column bytes bigint not null default 0,
    drop constraint error_quota_use_period_check,
    add constraint "a period is minute, hour or day" check (period in ('minute', 'hour', 'day'));
comment on table error_quota_use is
    'Events accepted and bytes kept within the present minute, hour and day, by all processes together.';
