-- Statements on two environments.

-- name: environment
-- Everything of one environment at one moment, and which database it is.
select
    coalesce((select jsonb_object_agg(f.name, to_jsonb(f)) from opsbook.feature_flags f), '{}') as flags,
    coalesce((select jsonb_object_agg(s.name, to_jsonb(s)) from opsbook.flag_segments s), '{}') as segments,
    concat_ws(' ', pg_postmaster_start_time(), current_setting('port'), current_database()) as identity
