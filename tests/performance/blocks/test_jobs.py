"""The worker's part: what has ended is lifted, and the audit says that it went by itself."""

from __future__ import annotations

import psycopg

from opsbook.core.settings import Settings
from tests.working import run_tasks


def test_ended_blocks_are_lifted_and_old_removals_forgotten(settings: Settings, database: psycopg.Connection) -> None:
    database.execute(
        "insert into address_blocks (network, expires_at)"
        " values ('203.0.113.0/24', now() - interval '1 second'), ('198.51.100.0/24', now() + interval '1 day')"
    )
    run_tasks(settings, "end_blocks", "push_to_firewall")
    assert database.execute("select network::text from address_blocks").fetchall() == [("198.51.100.0/24",)]
    found = database.execute(
        "select actor, target, reason from security_audit where action = 'address_block.delete'"
    ).fetchall()
    assert found == [("opsbook", "203.0.113.0/24", "its time was over: it went back by itself")]
    database.execute("update address_block_removals set removed_at = now() - interval '2 days'")
    run_tasks(settings, "forget_removed_blocks")
    assert database.execute("select from address_block_removals").fetchall() == []
