-- What becomes of a change of a flag or a segment, by whatever hand: its turn, its checks, its revision, its records.

-- Writers queue for the revision before they lock any flag. The other way round, a statement on many
-- flags and one on a single flag would each hold what the other needs, and one of them would fail.
-- A new flag locks nothing that others hold: it queues when it is numbered, after it has been checked.
insert into revisions values ('flags', 0) on conflict do nothing;
create function take_turn() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
begin
    perform from revisions where topic = 'flags' for update;
    return null;
end
$$;
create trigger take_turn before update or delete on feature_flags
    for each statement execute function take_turn();
create trigger take_turn before update or delete on flag_segments
    for each statement execute function take_turn();

-- Whether there is a flag or a segment of that name, also one of whoever had the turn before.
create function is_taken(of_table name, given text) returns boolean
language plpgsql set search_path = opsbook, pg_temp as $$
begin
    perform from revisions where topic = 'flags' for update;
    if of_table = 'feature_flags' then
        return exists (select from feature_flags where name = given);
    end if;
    return exists (select from flag_segments where name = given);
end
$$;

-- The one trigger before a change, so that its steps have the order in which they stand here.
create function change_row() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    is_flag constant boolean := tg_table_name = 'feature_flags';
begin
    -- 1. Name, revision and times are not the writer's to choose; what is then the same is no change.
    if tg_op = 'UPDATE' then
        if new.name <> old.name then
            perform refuse_targeting(format('a %s''s name cannot change: create %s and delete %s',
                case when is_flag then 'flag' else 'segment' end, new.name, old.name));
        end if;
        new.revision := old.revision;
        new.created_at := old.created_at;
        new.updated_at := old.updated_at;
        if new is not distinct from old then
            return new;
        end if;
    end if;

    -- 2. A second person, where the flag asks for one. What is approved is what was asked for, so nothing else is set.
    if is_flag and tg_op <> 'INSERT' then
        perform require_approval(old, new);
    end if;

    -- 3. Nothing goes away that others need.
    if tg_op = 'DELETE' then
        perform refuse_orphans(tg_table_name, old.name);
        return old;
    end if;

    -- 4. It makes sense by itself.
    if tg_op = 'INSERT' and name_problem(new.name) is not null then
        perform refuse_targeting(name_problem(new.name));
    end if;
    if is_flag then
        perform check_flag(old, new);
    else
        perform check_segment(new);
    end if;

    -- 5. It takes its turn, if it is new, and the next revision. A name that is taken leaves nothing new: the insert fails,
    -- does nothing or becomes an update, and a revision of which no history tells would have readers wait for it.
    if tg_op = 'INSERT' and is_taken(tg_table_name, new.name) then
        new.revision := 0;
        return new;
    end if;
    new.revision := next_revision('flags');
    new.updated_at := clock_timestamp();

    -- 6. What it names exists, and now stays.
    if is_flag then
        perform prove_references(old, new);
    end if;
    return new;
end
$$;
create trigger change before insert or update or delete on feature_flags
    for each row execute function change_row();
create trigger change before insert or update or delete on flag_segments
    for each row execute function change_row();

-- Every change leaves a revision and an audit record. Argument: what a row of the table is.
create function record_row() returns trigger
language plpgsql security definer set search_path = opsbook, pg_temp as $$
declare
    kind constant text := tg_argv[0];
    person constant acting_person := acting();
    change feature_flag_revisions;
begin
    if tg_op = 'UPDATE' and new.revision = old.revision then
        return null;
    end if;
    change.revision := case when tg_op = 'DELETE' then next_revision('flags') else new.revision end;
    change.name := case when tg_op = 'DELETE' then old.name else new.name end;
    change.action := case tg_op when 'INSERT' then 'create' when 'DELETE' then 'delete' else 'change' end;
    change.before := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    change.after := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    change.changed_at := clock_timestamp();
    change.actor := person.actor;
    change.actor_kind := person.actor_kind;
    change.reason := person.reason;
    if kind = 'flag' then
        insert into feature_flag_revisions values (change.*);
    else
        insert into flag_segment_revisions values (change.*);
    end if;
    perform audit(kind || '.' || change.action, kind, change.name, change.before, change.after);
    return null;
end
$$;
create trigger record_change after insert or update or delete on feature_flags
    for each row execute function record_row('flag');
create trigger record_change after insert or update or delete on flag_segments
    for each row execute function record_row('segment');

revoke execute on all functions in schema opsbook from public;
