-- Statements on flags that have had their day.

-- name: decided
-- When each flag last changed in what it decides; a new owner or description does not count.
select name, max(changed_at) as decided_at
from opsbook.feature_flag_revisions
where (before - %(told)s::text[]) is distinct from (after - %(told)s::text[])
group by name

-- name: counting_since
-- When evaluations began to be counted here; before, a flag that was asked for left no trace.
select applied_at from opsbook.schema_files where folder = 'flags' and file = '0004_exposures.sql'
