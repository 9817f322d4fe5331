"""Two persons: where a flag asks for it, a change waits until another approves it; a kill never does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.flags.approval.shell import wants_to_ask
from tests.command_line import Typed, opsbook
from tests.core.conftest import superuser
from tests.flags.helpers import create, psql
from tests.flags.test_schedules import run_due, schedule
from tests.web.conftest import operator, owner
from tests.web.person import Person, text_of

__all__ = ["operator", "owner", "superuser"]


@pytest.fixture(scope="module")
def shell(ops_url: str) -> Callable[..., Typed]:
    """Types commands as the person at this host; requests of the API are ADMIN_TOKEN's."""
    return lambda *arguments: opsbook("flags", *arguments, OPSBOOK_DATABASE_URL=ops_url)


def test_a_change_by_the_api_waits_for_another_person(
    api: httpx.Client, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "asked", enabled=False, requires_approval=True)
    answer = change(api, "asked", enabled=True, rollout_percentage=25, reason="launch")
    assert answer.status_code == 202
    assert not enabled(database, "asked")
    (request,) = api.get("/api/admin/flag-change-requests", params={"flag": "asked"}).json()
    assert request["fields"] == {"enabled": True, "rollout_percentage": 25}
    assert (request["made_by"], request["reason"], request["status"]) == ("ADMIN_TOKEN", "launch", "pending")
    approved = shell("approve", str(request["id"]), "--yes")
    assert approved.code == 0, approved.err
    assert enabled(database, "asked")
    again = shell("approve", str(request["id"]), "--yes")
    assert (again.code, "approved already" in again.err) == (3, True)


def test_a_change_by_the_command_line_waits_too(
    api: httpx.Client, operator: Person, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "typed", requires_approval=True)
    asked = shell("rollout", "typed", "5", "--yes", "--reason", "less")
    assert (asked.code, "waits as request" in asked.err) == (3, True)
    number = shell("requests", "typed", "--json").json[0]["id"]
    assert shell("approve", str(number), "--yes").code == 3, "one's own"
    assert "Waiting for a second person" in text_of(operator.get("/ops/flags/typed"))
    answer = operator.submit(f"/ops/flags/typed/requests/{number}", decision="approve")
    assert answer.status_code == 303, text_of(answer)
    assert "Waiting for a second person" not in text_of(operator.get("/ops/flags/typed"))
    history = api.get("/api/admin/feature-flags/typed/history").json()[0]
    assert (history["actor"], history["after"]["rollout_percentage"]) == ("operator@example.org", 5)
    actions = database.execute(
        "select action from security_audit where target = 'typed' and action like 'flag_request%' order by id"
    ).fetchall()
    assert actions == [("flag_request.ask",), ("flag_request.approve",)]


def test_asking_again_is_the_request_that_waits_already(api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "retried", requires_approval=True)
    for percentage in (5, 5, 6, 5):
        assert change(api, "retried", rollout_percentage=percentage).status_code == 202
    requests = api.get("/api/admin/flag-change-requests", params={"flag": "retried"}).json()
    assert [each["fields"] for each in requests] == [{"rollout_percentage": 6}, {"rollout_percentage": 5}]


def test_killing_and_switching_off_wait_for_nobody(api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "burning", requires_approval=True)
    assert change(api, "burning", kill_switch=True).status_code == 200
    assert change(api, "burning", kill_switch=False).status_code == 202, "reviving is no kill"
    assert change(api, "burning", enabled=False).status_code == 200
    assert change(api, "burning", enabled=True).status_code == 202
    create(database, "sly", requires_approval=True)
    assert change(api, "sly", kill_switch=True, rollout_percentage=1).status_code == 202
    assert change(api, "sly", requires_approval=False).status_code == 202


def test_sql_may_kill_and_nothing_else(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "by-sql", requires_approval=True)
    for statement in (
        "update feature_flags set rollout_percentage = 5 where name = 'by-sql'",
        "update feature_flags set requires_approval = false where name = 'by-sql'",
        "delete from feature_flags where name = 'by-sql'",
    ):
        typed = psql(ops_url, statement)
        assert (typed.returncode, "asks for a second person" in typed.stderr) == (3, True), statement
    assert psql(ops_url, "update feature_flags set kill_switch = true where name = 'by-sql'").returncode == 0
    assert psql(ops_url, "update feature_flags set kill_switch = false where name = 'by-sql'").returncode == 3


def test_an_approval_is_good_for_its_own_change_alone(
    ops_url: str, api: httpx.Client, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "narrow", requires_approval=True)
    change(api, "narrow", rollout_percentage=5)
    number = shell("requests", "narrow", "--json").json[0]["id"]
    using = f"select set_config('opsbook.change_request', '{number}', true);"
    greedy = psql(
        ops_url,
        "begin; set local opsbook.actor = 'boss'; set local opsbook.actor_kind = 'cli';"
        f" update flag_change_requests set status = 'approved' where id = {number}; {using}"
        "update feature_flags set rollout_percentage = 50 where name = 'narrow'; commit;",
    )
    assert (greedy.returncode, "second person" in greedy.stderr) == (3, True)
    shell("approve", str(number), "--yes")
    late = psql(
        ops_url, f"begin; {using} update feature_flags set rollout_percentage = 4 where name = 'narrow'; commit;"
    )
    assert (late.returncode, "second person" in late.stderr) == (3, True)


def test_a_request_for_what_has_changed_since_is_not_approved(
    api: httpx.Client, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "moved", requires_approval=True)
    change(api, "moved", rollout_percentage=5)
    database.execute("update feature_flags set kill_switch = true where name = 'moved'")
    number = shell("requests", "moved", "--json").json[0]["id"]
    refused = shell("approve", str(number), "--yes")
    assert (refused.code, "asked for anew" in " ".join(refused.err.split())) == (3, True)
    assert shell("reject", str(number), "--yes").code == 0
    assert shell("requests", "moved", "--json").json == []
    assert shell("requests", "moved", "--decided", "--json").json[0]["status"] == "rejected"


def test_a_request_that_nobody_decides_on_expires(
    api: httpx.Client, operator: Person, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "forgotten", requires_approval=True)
    change(api, "forgotten", rollout_percentage=4)
    (waiting,) = shell("requests", "forgotten", "--json").json
    week = datetime.fromisoformat(waiting["expires_at"]) - datetime.fromisoformat(waiting["made_at"])
    assert week == timedelta(days=7)
    assert "expires in 6 d" in text_of(operator.get("/ops/flags/forgotten"))
    assert "forgotten waits for a second person" in text_of(operator.get("/ops"))
    shell("reject", str(waiting["id"]), "--yes")
    number = ask_by_sql(database, "forgotten", "1 microsecond")
    assert shell("requests", "forgotten", "--json").json == []
    assert "Waiting for a second person" not in text_of(operator.get("/ops/flags/forgotten"))
    assert shell("requests", "forgotten", "--decided", "--json").json[0]["status"] == "expired"
    late = shell("approve", str(number), "--yes")
    assert (late.code, "expired" in late.err, "asked for anew" in " ".join(late.err.split())) == (3, True, True)
    with pytest.raises(psycopg.errors.CheckViolation, match="have it asked for anew"):
        database.execute(APPROVING.format(name="somebody", kind="cli", number=number).encode())
    assert change(api, "forgotten", rollout_percentage=5).status_code == 202, "asked for anew, as a request of its own"
    assert shell("requests", "forgotten", "--json").json[0]["id"] > number
    with pytest.raises(psycopg.errors.CheckViolation, match="90 days"):
        ask_by_sql(database, "forgotten", "91 days")


def test_the_overview_names_a_flag_once_however_many_ask(
    api: httpx.Client, operator: Person, database: psycopg.Connection
) -> None:
    create(database, "popular", requires_approval=True)
    for share in (4, 5, 6):
        change(api, "popular", rollout_percentage=share)
    told = text_of(operator.get("/ops"))
    assert told.count("popular waits for a second person") == 1
    assert "3 requests, the first until" in told


@pytest.mark.parametrize(("ask", "yes", "asked"), [(False, False, True), (True, False, False), (False, True, False)])
def test_asking_for_what_is_left_behind_is_offered_at_the_keyboard(
    monkeypatch: pytest.MonkeyPatch, ask: bool, yes: bool, asked: bool
) -> None:
    questions: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: bool(questions.append(question)) or True)
    assert wants_to_ask(["one", "two"], ask=ask, yes=yes) is (ask or asked)
    assert questions == (["Ask a second person for the changes of one, two?"] if asked else [])
    assert not wants_to_ask([], ask=True, yes=False), "there is nothing to ask for"


def test_one_may_take_back_what_one_asked_for(
    api: httpx.Client, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "withdrawn", requires_approval=True)
    change(api, "withdrawn", rollout_percentage=5)
    (request,) = api.get("/api/admin/flag-change-requests", params={"flag": "withdrawn"}).json()
    assert api.post(f"/api/admin/flag-change-requests/{request['id']}/reject").status_code == 204
    assert shell("approve", str(request["id"]), "--yes").code == 3
    assert shell("approve", "999999", "--yes").code == 3


def test_nobody_signs_for_another(database: psycopg.Connection) -> None:
    create(database, "signed", requires_approval=True)
    row = database.execute(
        "insert into flag_change_requests (flag, fields, base_revision, made_by, made_by_kind, status)"
        " values ('signed', %s, 1, 'somebody', 'operator', 'approved') returning id, made_by, status",
        [Jsonb({"enabled": False})],
    ).fetchone()
    assert row is not None
    assert row[1:] == ("opsbook", "pending")
    with pytest.raises(psycopg.errors.CheckViolation, match="another person"):
        database.execute("update flag_change_requests set status = 'approved' where id = %s", row[:1])
    with pytest.raises(psycopg.errors.CheckViolation, match="decided once"):
        database.execute("update flag_change_requests set made_by = 'x', status = 'approved' where id = %s", row[:1])


@pytest.mark.parametrize("kind", ["token", "admin_token", "sql", "system", "operator"])
def test_nobody_in_particular_approves_nothing(database: psycopg.Connection, kind: str) -> None:
    """An operator who does not exist neither."""
    create(database, kind, requires_approval=True)
    number = ask_by_sql(database, kind)
    with pytest.raises(psycopg.errors.CheckViolation, match="a person must approve"):
        database.execute(APPROVING.format(name="somebody", kind=kind, number=number).encode())


def test_only_sessions_of_opsbooks_own_role_are_believed(
    ops_url: str, database: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    create(database, "believed", requires_approval=True)
    number = ask_by_sql(database, "believed")
    superuser.execute("create role contractor login password 'of-the-tests'")
    superuser.execute("grant usage on schema opsbook to contractor")
    superuser.execute("grant select, update on opsbook.flag_change_requests to contractor")
    superuser.execute("grant execute on all functions in schema opsbook to contractor")
    try:
        with (
            psycopg.connect(ops_url, user="contractor", password="of-the-tests") as contractor,
            pytest.raises(psycopg.errors.CheckViolation, match="a person must approve"),
        ):
            contractor.execute(APPROVING.format(name="boss", kind="cli", number=number).encode())
    finally:
        superuser.execute("drop owned by contractor; drop role contractor")


def test_requests_are_not_removed_nor_rewritten(database: psycopg.Connection) -> None:
    create(database, "kept", requires_approval=True)
    ask_by_sql(database, "kept")
    for statement in ("delete from flag_change_requests", "truncate flag_change_requests"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            database.execute(statement.encode())
    with pytest.raises(psycopg.errors.CheckViolation, match="decided once"):
        database.execute("update flag_change_requests set reason = 'x', status = 'rejected' where flag = 'kept'")
    create(database, "leaves")
    ask_by_sql(database, "leaves")
    database.execute("delete from feature_flags where name = 'leaves'")


def test_a_segment_of_such_a_flag_stays_as_it_is(ops_url: str, database: psycopg.Connection) -> None:
    database.execute("insert into flag_segments (name, constraints) values ('staff', %s)", [Jsonb([PLAN])])
    rules = Jsonb([{"segments": ["staff"]}])
    create(database, "leaning", enabled=True, rollout_percentage=0, requires_approval=True, rules=rules)
    opened = psql(ops_url, "update flag_segments set constraints = '[]' where name = 'staff'")
    assert (opened.returncode, "make another segment" in opened.stderr) == (3, True)
    described = psql(ops_url, "update flag_segments set description = 'ours' where name = 'staff'")
    assert described.returncode == 0


def test_prerequisites_of_such_a_flag_ask_for_a_second_person_too(database: psycopg.Connection) -> None:
    create(database, "parent")
    for needed in ({"flag": "parent"}, {"flag": "parent", "enabled": False}):
        with pytest.raises(psycopg.errors.CheckViolation, match="its prerequisite parent"):
            create(database, "child", requires_approval=True, prerequisites=Jsonb([needed]))
        database.execute("update feature_flags set requires_approval = true where name = 'parent'")
    create(database, "child", requires_approval=True, prerequisites=Jsonb([{"flag": "parent"}]))
    database.execute("update feature_flags set kill_switch = true where name = 'parent'")


def test_a_parent_goes_on_asking_for_a_second_person(
    api: httpx.Client, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "upper", requires_approval=True)
    create(database, "lower", requires_approval=True, prerequisites=Jsonb([{"flag": "upper"}]))
    change(api, "upper", requires_approval=False)
    number = shell("requests", "upper", "--json").json[0]["id"]
    refused = shell("approve", str(number), "--yes")
    assert (refused.code, "lower" in refused.err) == (2, True)


def test_undo_waits_too(api: httpx.Client, shell: Callable[..., Typed], database: psycopg.Connection) -> None:
    create(database, "undone", requires_approval=True)
    change(api, "undone", enabled=False)
    assert api.post("/api/admin/feature-flags/undone/undo", json={}).status_code == 202
    assert not enabled(database, "undone")
    number = shell("requests", "undone", "--json").json[0]["id"]
    assert shell("approve", str(number), "--yes").code == 0
    assert enabled(database, "undone")


def test_a_schedule_of_one_person_changes_nothing(
    ops_url: str, shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "planned", enabled=False, requires_approval=True)
    schedule(database, "planned", "dates", {"enabled": True})
    run_due(ops_url)
    assert not enabled(database, "planned")
    assert "second person" in shell("schedule", "list", "planned", "--json").json[0]["paused_because"]


def test_asking_for_a_second_person_is_set_by_anybody(
    shell: Callable[..., Typed], database: psycopg.Connection
) -> None:
    create(database, "guarded")
    assert shell("set", "guarded", "--approval", "--yes", "--json").json["requires_approval"] is True
    assert shell("set", "guarded", "--no-approval", "--yes").code == 3


APPROVING = """
    select set_config('opsbook.actor', '{name}', true), set_config('opsbook.actor_kind', '{kind}', true);
    update opsbook.flag_change_requests set status = 'approved' where id = {number};
"""
"""As somebody would who says to be another."""
PLAN = {"field": "plan", "operator": "in", "values": ["pro"]}


def ask_by_sql(database: psycopg.Connection, flag: str, lasting: str = "7 days") -> int:
    row = database.execute(
        "insert into flag_change_requests (flag, fields, base_revision, expires_at, made_by, made_by_kind)"
        " values (%s, %s, 1, now() + %s::interval, '', '') returning id",
        [flag, Jsonb({"rollout_percentage": 5}), lasting],
    ).fetchone()
    assert row is not None
    return int(row[0])


def change(api: httpx.Client, flag: str, **fields: object) -> httpx.Response:
    return api.patch(f"/api/admin/feature-flags/{flag}", json=fields)


def enabled(database: psycopg.Connection, flag: str) -> bool:
    row = database.execute("select enabled from feature_flags where name = %s", [flag]).fetchone()
    assert row is not None
    return bool(row[0])
