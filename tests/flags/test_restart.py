"""A server that goes and comes back under fifty clients: all find it again.

That they do not come in the same instant is shown in test_http_source.
"""

from __future__ import annotations

from contextlib import ExitStack, closing

import psycopg

from opsbook.core.settings import Settings
from opsbook.flags.client import Flags
from opsbook.flags.sources.http import HttpSource
from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import create, set_enabled, until
from tests.serving import serving
from tests.upping import free_port

CLIENTS = 50


def test_fifty_clients_come_back_to_a_restarted_server(settings: Settings, database: psycopg.Connection) -> None:
    create(database, "restarted")
    port = free_port()
    with ExitStack() as stack:
        kits = [
            stack.enter_context(closing(Flags(HttpSource(f"http://127.0.0.1:{port}", ADMIN_TOKEN))))
            for _ in range(CLIENTS)
        ]
        with serving(settings, port):
            for kit in kits:
                kit.start()
            until(lambda: all(kit.enabled("restarted") for kit in kits), within=20)
        set_enabled(database, "restarted", False)
        assert all(kit.enabled("restarted") for kit in kits)
        with serving(settings, port):
            until(lambda: not any(kit.enabled("restarted") for kit in kits), within=20)
