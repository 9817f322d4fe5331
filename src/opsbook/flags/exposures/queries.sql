-- Statements on exposure counts.

-- name: add
-- What a process counted, of flags that exist; in one order, so that two reports never wait for each other.
-- No report adds more than 10⁹ to a count, and a count stops short of what a bigint holds.
insert into opsbook.flag_exposures as held (hour, flag, variant, count, last_at)
select date_trunc('hour', now(), 'UTC'), g.flag, g.variant, least(sum(g.count), 1000000000), now()
from jsonb_to_recordset(%(counts)s) as g (flag text, variant text, count bigint)
join opsbook.feature_flags f on f.name = g.flag
where opsbook.flag_can_be(f, g.variant)
group by g.flag, g.variant
order by g.flag, g.variant
on conflict (hour, flag, variant) do update
set count = least(held.count::numeric + excluded.count, 9e18), last_at = greatest(held.last_at, excluded.last_at)

-- name: of_flag
-- What a flag was for those who asked, most often first.
select variant, least(sum(count), 9e18)::bigint as count, max(last_at) as last_at
from opsbook.flag_exposures
where flag = %(flag)s and hour > now() - %(period)s::interval
group by variant
order by count desc, variant

-- name: last_evaluated
-- When each flag was last asked for.
select flag, max(last_at) as last_at from opsbook.flag_exposures group by flag

-- name: tidy
-- Make the coming months' partitions, and drop those that nobody looks at any more.
select opsbook.make_exposure_months(%(ahead)s), opsbook.drop_old_exposures(%(kept)s)
