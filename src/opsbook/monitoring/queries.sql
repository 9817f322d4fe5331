-- name: worker_heartbeat
-- What the workers have last said, and whether work lies waiting that one should have taken by now.
-- procrastinate removes the row of a worker that stopped in order, hence the other questions.
select
    extract(epoch from now() - max(last_heartbeat))::float8 as seconds_ago,
    count(*) as workers,
    exists (
        select
        from procrastinate_jobs as job
        join procrastinate_events as event
            on event.job_id = job.id
            and event.type = 'deferred'
        where job.status = 'todo'
            and greatest(job.scheduled_at, event.at) < now() - interval '30 seconds'
    ) as work_is_waiting,
    exists (select from procrastinate_periodic_defers) as has_worked
from procrastinate_workers;
