-- Statements on schedules.

-- name: list
-- Schedules that are not finished, or all; the soonest first.
select s.*, stop.at as paused_at, stop.because as paused_because, s.steps -> s.done as next_step
from opsbook.flag_schedules s left join lateral opsbook.schedule_stop(s) stop on s.finished_at is null
where (%(flag)s::text is null or s.flag = %(flag)s) and (%(finished)s or s.finished_at is null)
order by s.finished_at is not null, (s.steps -> s.done ->> 'at')::timestamptz, s.id

-- name: lock
-- One schedule, held until the transaction ends.
select s.*, s.paused_at is not null as is_noted, stop.at as paused_at, stop.because as paused_because
from opsbook.flag_schedules s left join lateral opsbook.schedule_stop(s) stop on s.finished_at is null
where s.id = %(id)s
for update of s

-- name: add
-- A new schedule, in the name of whoever acts.
insert into opsbook.flag_schedules (flag, kind, steps, made_by, made_by_kind)
values (%(flag)s, %(kind)s, %(steps)s, '', '')
returning *, steps -> done as next_step

-- name: pause
-- Take no further step until it is resumed.
update opsbook.flag_schedules set paused_at = coalesce(%(at)s, now()), paused_because = %(because)s
where id = %(id)s
returning *, steps -> done as next_step

-- name: resume
-- Go on: a ramp later by as long as it stood still, dates as they are.
update opsbook.flag_schedules s
set paused_at = null, paused_because = null, steps = case s.kind when 'dates' then s.steps else (
    select jsonb_agg(
        case when place <= s.done then step else step || jsonb_build_object(
            'at', to_char(((step ->> 'at')::timestamptz + (now() - s.paused_at)) at time zone 'utc',
                'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        ) end order by place
    )
    from jsonb_array_elements(s.steps) with ordinality as t (step, place)
) end
where s.id = %(id)s
returning *, steps -> done as next_step

-- name: remove
-- Forget a schedule; the audit keeps it.
delete from opsbook.flag_schedules where id = %(id)s returning id

-- name: stopped
-- Schedules that stand still for a reason that is not noted with them yet.
select s.id, stop.at, stop.because
from opsbook.flag_schedules s, opsbook.schedule_stop(s) stop
where s.finished_at is null and s.paused_at is null and stop.at is not null
order by s.id

-- name: note
-- Note since when one stands still, and why.
update opsbook.flag_schedules s set paused_at = stop.at, paused_because = stop.because
from (
    select held.id, (opsbook.schedule_stop(held)).*
    from opsbook.flag_schedules held
    where held.id = %(id)s and held.finished_at is null and held.paused_at is null
    for update of held skip locked
) stop
where s.id = stop.id and stop.at is not null

-- name: due
-- Schedules with a step that should have been taken by now.
select id, made_by, made_by_kind
from opsbook.flag_schedules
where finished_at is null and paused_at is null and (steps -> done ->> 'at')::timestamptz <= now()
order by id

-- name: take
-- Note how far a due schedule is; gives what its due steps set together, the later over the earlier. None where
-- somebody else holds it, or took it.
with held as (
    select * from opsbook.flag_schedules
    where id = %(id)s and finished_at is null and paused_at is null and made_by = %(made_by)s
        and made_by_kind = %(made_by_kind)s
    for update skip locked
)
update opsbook.flag_schedules s
set done = due.done, finished_at = case when due.done = jsonb_array_length(s.steps) then now() end
from held, lateral (
    select max(place)::int as done, jsonb_object_agg(key, value order by place) as fields
    from jsonb_array_elements(held.steps) with ordinality as t (step, place), jsonb_each(step - 'at')
    where place > held.done and (step ->> 'at')::timestamptz <= now()
) due
where s.id = held.id and due.done is not null
returning s.flag, due.fields

-- name: stop
-- Why a schedule may not go on, as of now; none where it may.
select stop.because
from opsbook.flag_schedules s, opsbook.schedule_stop(s) stop
where s.id = %(id)s and stop.at is not null

-- name: be_brief
-- Wait for no lock as long as a deadlock takes to be found: of the two it is us who step back.
set local lock_timeout = '500ms'
