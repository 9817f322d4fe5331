"""Making a cluster with `initdb`: beside its place first, moved there once whole."""

from __future__ import annotations

import shutil
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from opsbook.core.postgres.binaries import Binaries
from opsbook.core.postgres.errors import ClusterFailed, HomeUnusable, OtherMajorVersion
from opsbook.core.postgres.home import SUPERUSERS, ClusterName, Home, disk_full, explained, says_disk_full
from opsbook.core.postgres.privileges import Account
from opsbook.core.supervision.processes import spawn, stop

SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "wal_level": "replica",
    "summarize_wal": "on",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "track_io_timing": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "1s",
    "log_parameter_max_length": "0",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}
"""Written to `postgresql.conf` once; from then on the operator's to change. Values never reach the log."""
MAX_CONNECTIONS = {"ops": "200", "service": "100"}
"""The ops cluster has a listening connection and a pool for every worker process of the service."""


@dataclass(frozen=True, slots=True)
class Superuser:
    """Who makes a cluster."""

    name: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, home: Home, cluster: ClusterName) -> Superuser:
        """The one of a home's cluster; its password is made on first use."""
        name = SUPERUSERS[cluster]
        return cls(name, home.password(cluster, name))


def check_version(data: Path, binaries: Binaries) -> bool:
    """Whether a cluster of our version lies there; false where there is none yet.

    Raises:
        OtherMajorVersion: It was made by another one.
        HomeUnusable: What lies there is no cluster.
    """
    if not data.exists():
        return False
    with explained(data):
        try:
            found = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            found = ""
    if not found.isdecimal():
        raise HomeUnusable(
            f"{data} is not a Postgres data folder (it has no valid PG_VERSION):"
            " restore it from a backup, or move it away to start with an empty database"
        )
    if found != binaries.major:
        raise OtherMajorVersion(
            f"{data} was made by Postgres {found}, this is Postgres {binaries.major}: dump it with the Opsbook that"
            f" made it (`pg_dumpall`), move it away, start, and load the dump; or go back to that Opsbook"
        )
    return True


class Creation:
    """An `initdb` under way; several run side by side."""

    def __init__(self, data: Path, account: Account, binaries: Binaries, superuser: Superuser) -> None:
        self._data = data
        self._half = data.with_name(f"{data.name}.new")
        with explained(data.parent):
            self._make_room(account)
            self._password = _password_file(account, superuser.password)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = spawn(
            _initdb(binaries, self._half, superuser.name, self._password, MAX_CONNECTIONS[data.name]),
            stop_signal=signal.SIGTERM,
            environment={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            folder=Path("/"),
            output=self._said,
            identity=account.identity(),
        )

    def _make_room(self, account: Account) -> None:
        if self._half.exists():
            shutil.rmtree(self._half)  # An earlier creation was cut short.
        self._half.mkdir(mode=0o700)
        account.own(self._half)

    def finish(self) -> None:
        """Wait for it, and move the whole cluster to its place.

        Raises:
            DiskFull: It did not fit.
            ClusterFailed: `initdb` gave up for another reason.
        """
        if self._process.wait() == 0:
            self._half.rename(self._data)
            return
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        if says_disk_full(said):
            raise disk_full(self._data.parent)
        raise ClusterFailed(f"initdb could not make {self._data}:\n{said.strip()[-1000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing but a whole cluster: no process, no password, no half of one."""
        stop([self._process], ())
        self._said.close()
        self._password.unlink()
        shutil.rmtree(self._half, ignore_errors=True)


def _initdb(binaries: Binaries, data: Path, superuser: str, password: Path, max_connections: str) -> list[str]:
    settings = {**SETTINGS, "max_connections": max_connections}
    return [
        binaries.program("initdb"),
        *("--pgdata", str(data), "--username", superuser, "--pwfile", str(password)),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--data-checksums"),
        # C.UTF-8 built into Postgres: its order cannot change with the system's libraries under an index.
        *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
        *(f"--set={name}={value}" for name, value in settings.items()),
    ]


def _password_file(account: Account, password: str) -> Path:
    """A short-lived file that the account may read: initdb takes the password neither from a pipe nor an argument."""
    with tempfile.NamedTemporaryFile("w", prefix="opsbook-password-", delete=False, encoding="utf-8") as file:
        file.write(password + "\n")
    path = Path(file.name)
    account.own(path)
    return path
