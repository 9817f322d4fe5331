"""The audit trail: append-only for everybody, true about who acts, and tampering shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.command_line import Typed, opsbook

FLAGS = "/api/admin/feature-flags"


@pytest.fixture
def flag(api: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A flag of the test's own, so that there is something to change."""
    name = request.node.name.split("[")[0][:100]
    assert api.post(FLAGS, json={"name": name, "enabled": False}).status_code in (200, 201)
    return name


@pytest.fixture
def tampered(superuser: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Somebody who goes round every trigger; what they do is undone after the test."""
    sealed = opsbook_audit("verify", superuser)
    assert sealed.code == 0, sealed.err
    superuser.execute("set session_replication_role = replica")
    superuser.execute("create table kept_audit as select * from security_audit")
    superuser.execute("create table kept_seals as select * from security_audit_seals")
    yield superuser
    for kept, table in (("kept_audit", "security_audit"), ("kept_seals", "security_audit_seals")):
        superuser.execute(f"delete from {table}".encode())
        superuser.execute(f"insert into {table} overriding system value select * from {kept}".encode())
        superuser.execute(f"drop table {kept}".encode())
    superuser.execute("set session_replication_role = origin")


@pytest.mark.parametrize("table", ["security_audit", "security_audit_seals"])
@pytest.mark.parametrize("statement", ["update {} set {} = {}", "delete from {}", "truncate {}"])
def test_its_owner_cannot_change_it(database: psycopg.Connection, flag: str, table: str, statement: str) -> None:
    database.execute("select seal_audit()")
    column = "id" if table == "security_audit" else "position"
    assignment = (table, "reason" if column == "id" else column, "'forged'" if column == "id" else "0")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"{table} is append-only"):
        database.execute(statement.format(*assignment).encode())


@pytest.mark.parametrize("statement", ["update {} set reason = 'forged'", "delete from {}", "truncate {}"])
def test_nor_can_it_be_changed_by_way_of_a_partition(database: psycopg.Connection, flag: str, statement: str) -> None:
    partitions = [
        row[0]
        for row in database.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'security_audit'::regclass"
        )
    ]
    assert len(partitions) >= 13
    filled = [p for p in partitions if database.execute(f"select 1 from {p} limit 1".encode()).fetchone()]
    assert filled
    for partition in partitions if statement.startswith("truncate") else filled:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            database.execute(statement.format(partition).encode())


def test_sql_typed_into_psql_is_recorded_with_who_and_from_where(database: psycopg.Connection, flag: str) -> None:
    database.execute("update feature_flags set kill_switch = true where name = %s", (flag,))
    found = newest(database, flag)
    assert (found["actor"], found["actor_kind"], found["database_user"]) == ("opsbook", "sql", "opsbook")
    assert (found["user_agent"], str(found["ip"])) == ("psql", "127.0.0.1")
    assert (found["action"], found["target_kind"]) == ("flag.change", "flag")
    assert (found["before"]["kill_switch"], found["after"]["kill_switch"]) == (False, True)


def test_a_request_is_recorded_with_its_actor_id_and_reason(
    api: httpx.Client, database: psycopg.Connection, flag: str
) -> None:
    headers = {"X-Request-ID": "the-callers-own-id", "User-Agent": "curl/8"}
    api.patch(f"{FLAGS}/{flag}", json={"enabled": True, "reason": "launch"}, headers=headers)
    found = newest(database, flag)
    assert (found["actor"], found["actor_kind"]) == ("ADMIN_TOKEN", "admin_token")
    assert (found["request_id"], found["user_agent"], str(found["ip"])) == ("the-callers-own-id", "curl/8", "127.0.0.1")
    assert (found["reason"], found["success"]) == ("launch", True)


def test_a_command_is_recorded_as_the_person_at_the_shell(
    ops_url: str, database: psycopg.Connection, flag: str
) -> None:
    assert opsbook("flags", "kill", flag, "--yes", OPSBOOK_DATABASE_URL=ops_url).code == 0
    found = newest(database, flag)
    assert found["actor_kind"] == "cli"
    assert "@" in found["actor"]


def test_who_acts_is_forgotten_with_the_transaction(database: psycopg.Connection, flag: str) -> None:
    with database.transaction():
        database.execute("select set_config('opsbook.actor', 'alice@example.org', true)")
        database.execute("update feature_flags set enabled = true where name = %s", (flag,))
    assert newest(database, flag)["actor"] == "alice@example.org"
    database.execute("update feature_flags set enabled = false where name = %s", (flag,))
    assert newest(database, flag)["actor"] == "opsbook"


def test_what_was_rolled_back_is_not_on_record(database: psycopg.Connection, flag: str) -> None:
    before = newest(database, flag)
    with database.transaction(force_rollback=True):
        database.execute("update feature_flags set enabled = true where name = %s", (flag,))
    assert newest(database, flag) == before


def test_a_new_password_is_on_record_but_no_hash_is(database: psycopg.Connection) -> None:
    database.execute(
        "insert into operators (email, name, role, password_hash) values ('hash@example.org', 'H', 'viewer', 'argon-1')"
    )
    database.execute("update operators set password_hash = 'argon-2' where email = 'hash@example.org'")
    changed = newest(database, "hash@example.org")
    assert changed["action"] == "operator.change_secret"
    row = database.execute("select count(*) from security_audit where concat(before, after) ~ 'argon|_hash'").fetchone()
    assert row == (0,)


def test_an_untouched_trail_is_intact(database: psycopg.Connection, flag: str) -> None:
    typed = opsbook_audit("verify", database, "--json")
    assert (typed.code, typed.json["intact"], typed.json["broken"]) == (0, True, [])
    count = database.execute("select count(*) from security_audit").fetchone()
    assert count is not None
    assert typed.json["sealed"] == count[0]


@pytest.mark.parametrize(
    "deed",
    [
        "update security_audit set actor = 'somebody else' where id = (select min(id) from security_audit)",
        "update security_audit set before = '{}' where id = (select max(id) from security_audit)",
        (
            "update security_audit set created_at = created_at + interval '1 second'"
            " where id = (select max(id) from security_audit)"
        ),
        "delete from security_audit where id = (select min(id) + 1 from security_audit)",
        "delete from security_audit_seals where position = 1",
        "delete from security_audit_seals where position = 2",
        (
            "update security_audit_seals set position = position + 10"
            " where position = (select max(position) from security_audit_seals)"
        ),
        "update security_audit_seals set hash = '\\x00' where position = 1",
    ],
)
def test_what_was_tampered_with_shows(tampered: psycopg.Connection, api: httpx.Client, flag: str, deed: str) -> None:
    opsbook_audit("verify", tampered)
    assert tampered.execute(deed.encode()).rowcount == 1
    typed = opsbook_audit("verify", tampered, "--json")
    assert typed.code == 1
    assert not typed.json["intact"]
    assert typed.json["broken"][0]["problem"] in ("record missing", "hash differs")
    assert api.get("/api/admin/audit/verification").json()["intact"] is False


def test_a_trail_longer_than_a_page_is_read_to_its_end(tampered: psycopg.Connection) -> None:
    tampered.execute("select audit('test', 'test', n::text, null, null) from generate_series(1, 12000) n")
    typed = opsbook_audit("verify", tampered, "--json")
    assert (typed.code, typed.json["unsealed"]) == (0, 0)
    assert typed.json["sealed"] > 12000
    tampered.execute(
        "update security_audit set actor = 'x' where id in (select audit_id from security_audit_seals"
        " where position in (2, 5000, 10001, 12000))"
    )
    broken = opsbook_audit("verify", tampered, "--json").json["broken"]
    assert [seal["position"] for seal in broken] == [2, 5000, 10001, 12000]


@pytest.mark.parametrize(
    ("deed", "problem"),
    [
        (
            "delete from security_audit_seals where position = (select max(position) from security_audit_seals)",
            "cut off",
        ),
        ("update security_audit set reason = 'forged'; truncate security_audit_seals", "not the seal that was kept"),
    ],
)
def test_a_head_kept_elsewhere_shows_what_the_chain_alone_cannot(
    tampered: psycopg.Connection, deed: str, problem: str
) -> None:
    tampered.execute("select audit('test', 'test', 'the last record', null, null)")
    head = opsbook_audit("verify", tampered, "--json").json["head"]
    assert head in opsbook_audit("verify", tampered, "--head", head).out
    tampered.execute(
        "delete from security_audit where target = 'the last record'" if problem == "cut off" else "select"
    )
    tampered.execute(deed.encode())
    assert opsbook_audit("verify", tampered).code == 0
    typed = opsbook_audit("verify", tampered, "--json", "--head", head)
    assert (typed.code, [one["problem"] for one in typed.json["broken"]]) == (1, [problem])


def test_a_head_that_is_none_is_refused(database: psycopg.Connection) -> None:
    assert opsbook_audit("verify", database, "--head", "12").code == 2


def test_a_record_that_came_late_is_sealed_too(ops_url: str, database: psycopg.Connection) -> None:
    with psycopg.connect(ops_url) as slow:
        slow.execute("select audit('test', 'test', 'slow', null, null)")
        database.execute("select audit('test', 'test', 'quick', null, null)")
        database.execute("select seal_audit()")
        slow.commit()
    assert database.execute("select seal_audit()").fetchone() == (1,)


def test_verification_wants_an_operator(api: httpx.Client, anonymous: httpx.Client) -> None:
    def status(role: str) -> int:
        token = api.post("/api/admin/tokens", json={"name": role, "role": role}).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        return anonymous.get("/api/admin/audit/verification", headers=headers).status_code

    assert (status("viewer"), status("operator")) == (403, 200)


def test_nobody_but_the_owner_may_run_its_functions(database: psycopg.Connection) -> None:
    query = """
        select p.proname from pg_proc p
        where p.pronamespace = 'opsbook'::regnamespace and p.prosecdef
            and has_function_privilege('public', p.oid, 'execute')
    """
    assert database.execute(query).fetchall() == []


def opsbook_audit(command: str, connection: psycopg.Connection, *arguments: str) -> Typed:
    """The command, on the connection's database."""
    info = connection.info
    url = f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"
    return opsbook("audit", command, *arguments, OPSBOOK_DATABASE_URL=url)


def newest(database: psycopg.Connection, target: str) -> dict[str, Any]:
    query = "select * from security_audit where target = %s order by id desc limit 1"
    found = database.cursor(row_factory=dict_row).execute(query, (target,)).fetchone()
    assert found is not None
    return json.loads(json.dumps(found, default=str))
