-- What changed between two moments: asked for each person whose trail somebody follows.
create index feature_flag_revisions_time on feature_flag_revisions (changed_at desc, revision desc);
