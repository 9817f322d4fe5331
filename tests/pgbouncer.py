"""A real PgBouncer before a real server, in either mode, for as long as a test needs it."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.conninfo import conninfo_to_dict

from tests.folders import open_folder

_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
"""


@contextmanager
def pgbouncer(url: str, mode: str) -> Iterator[str]:
    """The same database's address, by way of a PgBouncer in that mode (`session`, `transaction`)."""
    known = conninfo_to_dict(url)
    port = _free_port()
    with open_folder() as folder:
        (folder / "users").write_text(f'"{known["user"]}" "{known["password"]}"\n')
        settings = _SETTINGS.format(server=known["port"], port=port, folder=folder, mode=mode)
        # It refuses to be root, and changes to whom it is told.
        as_nobody = "user = nobody\n" if os.geteuid() == 0 else f"user = {getpass.getuser()}\n"
        (folder / "settings.ini").write_text(settings + as_nobody)
        with subprocess.Popen([os.environ["PGBOUNCER"], "--quiet", folder / "settings.ini"]) as process:
            try:
                _wait_until_listening(port, process)
                yield url.replace(f":{known['port']}/", f":{port}/")
            finally:
                process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None, "PgBouncer ended while starting"
            assert time.monotonic() < deadline, "PgBouncer did not start"
            time.sleep(0.02)
        else:
            return
