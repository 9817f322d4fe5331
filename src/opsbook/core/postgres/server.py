"""One Postgres server on one data folder: its command line, its start, its readiness, its addresses."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from opsbook.core.postgres.binaries import Binaries
from opsbook.core.postgres.errors import ClusterFailed
from opsbook.core.postgres.home import (
    PORTS,
    SIGN_IN,
    ClusterName,
    Home,
    disk_full,
    explained,
    no_links,
    says_disk_full,
)
from opsbook.core.postgres.layout import Layout
from opsbook.core.postgres.provision import provision
from opsbook.core.postgres.recovery import clear_leftovers
from opsbook.core.supervision.processes import Process, StopStep, spawn

START_SECONDS = 60.0
"""How long a start may take: recovery after a crash replays up to `max_wal_size` of log."""
STOP_STEPS = (StopStep(signal.SIGINT, 4.0), StopStep(signal.SIGQUIT, 1.0, brisk=True))
"""Postgres' fast shutdown (no client is waited for), then its immediate one."""
LOG_BYTES = 16 * 1024 * 1024
"""A log longer than this is put aside when its server starts."""
Progress = Callable[[str], None]


@dataclass(slots=True)
class Server:
    """The server of one cluster; `process` is the one running now."""

    name: ClusterName
    home: Home
    layout: Layout
    binaries: Binaries
    progress: Progress
    port: int = 0
    process: Process | None = None
    _logged_before: int = 0

    @property
    def data(self) -> Path:
        return self.layout.clusters / self.name

    @property
    def log(self) -> Path:
        return self.home.path / "log" / f"postgres-{self.name}.log"

    def start(self) -> Process:
        """Start the server, after ending what an earlier one left behind; it is not ready yet.

        The port is the one it had. Should that be taken, a new supervisor chooses another, and the addresses
        change with it; a restart under the same one does not, because what runs beside it knows only the old.

        Raises:
            ClusterFailed: The port is taken at a restart: try again later.
            HomeUnusable: The log cannot be written.
        """
        if clear_leftovers(self.data):
            self.progress(f"stopped a {self.name} database server left over from before")
        if self.process is not None:
            self.process.wait()  # Ended for sure by now; as a zombie it would still look alive to Postgres.
        self._choose_port()
        self._remove_stale_socket()
        self._put_long_log_aside()
        with explained(self.home.path), open(self.log, "ab", opener=no_links) as log:
            self._logged_before = log.tell()
            self.process = spawn(
                self._command(),
                stop_signal=signal.SIGINT,
                environment={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
                folder=Path("/"),
                output=log,
                identity=self.layout.account.identity(),
            )
        return self.process

    def wait_until_ready(self) -> None:
        """Wait until it accepts connections.

        Raises:
            DiskFull: It ended because the disk is full.
            ClusterFailed: It ended, or did not get there in time; carries the end of its log.
        """
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process is None or self.process.poll() is not None:
                raise self._failure("ended while starting")
            if time.monotonic() > deadline:
                raise self._failure(f"is not ready after {START_SECONDS:.0f} s")
            time.sleep(0.02)

    def publish(self) -> str:
        """Provision a new cluster, write down the address if it is new, and return it.

        Raises:
            DiskFull: There is no room for it.
            ClusterFailed: The server refused a statement.
        """
        if not self.home.read(f"{self.name}.url"):
            self.progress(f"preparing the {self.name} database")
            password = self.home.password(self.name, SIGN_IN[self.name][0])
            superuser_url = self.home.url(self.name, self.port, superuser=True, database="postgres")
            try:
                provision(self.name, superuser_url, password)
            except psycopg.Error as error:
                raise self._failure(f"could not be prepared ({str(error).strip()})") from error
        url = self.home.url(self.name, self.port)
        if self.home.read(f"{self.name}.url") != url:
            self.home.write(f"{self.name}.url", url + "\n")
        return url

    def _choose_port(self) -> None:
        if self.port:
            if not _is_free(self.port):
                raise ClusterFailed(f"port {self.port} of the {self.name} database is taken: stop what listens there")
            return
        wanted = self.home.port(self.name)
        if wanted and _is_free(wanted):
            self.port = wanted
            return
        self.port = next(port for port in random.sample(PORTS, len(PORTS)) if _is_free(port))
        if wanted:
            self.progress(f"port {wanted} of the {self.name} database is taken: using {self.port} from now on")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.layout.sockets),
            "unix_socket_permissions": "0777",
            "logging_collector": "off",
        }
        options = (part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
        return [self.binaries.program("postgres"), "-D", str(self.data), *options]

    def _remove_stale_socket(self) -> None:
        """Its lock file names a pid that another program may have by now; nobody else has sockets in our folder."""
        for name in (f".s.PGSQL.{self.port}", f".s.PGSQL.{self.port}.lock"):
            (self.layout.sockets / name).unlink(missing_ok=True)

    def _put_long_log_aside(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _is_ready(self) -> bool:
        """Ask the pid file: its eighth line (`LOCK_FILE_LINE_PM_STATUS` in miscadmin.h) says how far it is."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return (
            self.process is not None
            and len(lines) >= 8
            and lines[0] == str(self.process.pid)
            and lines[7].strip() == "ready"
        )

    def _failure(self, what: str) -> Exception:
        with open(self.log, "rb", opener=no_links) as log:
            log.seek(self._logged_before)
            said = log.read().decode(errors="replace").strip()
        if says_disk_full(said):
            return disk_full(self.data)
        return ClusterFailed(f"the {self.name} database server {what}; its log {self.log} says:\n{said[-1500:]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Postgres binds: a connection that lingers in TIME_WAIT does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
