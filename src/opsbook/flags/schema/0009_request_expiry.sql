-- Change requests that nobody decides on expire: what was meant a week ago may not be meant any more.

alter table flag_change_requests
    add column expires_at timestamptz not null default now() + interval '7 days',
    add constraint "a request waits for 90 days at most"
        check (expires_at > made_at and expires_at <= made_at + interval '90 days');
comment on column flag_change_requests.expires_at is 'From then on it cannot be approved, and has to be asked for anew.';

create function request_status(request flag_change_requests) returns text
language sql stable set search_path = opsbook, pg_temp as $$
    select case when request.status = 'pending' and request.expires_at <= now() then 'expired' else request.status end
$$;

create function refuse_expired_request() returns trigger
language plpgsql set search_path = opsbook, pg_temp as $$
begin
    raise exception 'request % expired at %: have it asked for anew', old.id, date_trunc('second', old.expires_at)
        using errcode = 'check_violation';
end
$$;
create trigger refuse_expired before update on flag_change_requests
    for each row when (new.status = 'approved' and old.expires_at <= now())
    execute function refuse_expired_request();

revoke execute on all functions in schema opsbook from public;
