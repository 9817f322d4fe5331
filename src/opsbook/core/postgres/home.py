"""The home folder (`.opsbook`): where things lie in it, its secrets, its addresses, and who holds it.

Everything secret in it is a file of mode 0600. The folder itself may be entered by
others where root owns it, because Postgres then runs as an account that must get through.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote, urlsplit

from opsbook.core.postgres.errors import AlreadyRunning, DiskFull, HomeUnusable

ClusterName = Literal["ops", "service"]
CLUSTER_NAMES: tuple[ClusterName, ...] = ("ops", "service")
SIGN_IN: Mapping[ClusterName, tuple[str, str]] = {"ops": ("opsbook", "ops"), "service": ("postgres", "postgres")}
"""Whom each cluster's address signs in as, and to which database; the service's are those of Supabase."""
SUPERUSERS: Mapping[ClusterName, str] = {"ops": "postgres", "service": "supabase_admin"}
"""Who made each cluster and may do anything in it; on Supabase, too, `postgres` is not that."""

PORTS = range(15432, 32768)
"""Where a new cluster looks for a free port: below Linux' ephemeral range, so that no outgoing connection takes it."""


def embedded_urls(home: Path) -> dict[str, str]:
    """The addresses of the embedded databases, by name; empty where `opsbook up` has never run.

    Raises:
        HomeUnusable: An address is there but may not be read.
    """
    found = {name: Home(home).read(f"{name}.url") for name in CLUSTER_NAMES}
    return {name: url for name, url in found.items() if url}


@dataclass(frozen=True, slots=True)
class Home:
    """A home folder by its path; nothing is touched until asked for."""

    path: Path

    def make(self) -> None:
        """Make the folder and what stands in it from the start.

        Raises:
            HomeUnusable: It cannot be made or written, or we are root and it is not root's.
        """
        with explained(self.path):
            self.path.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self._refuse_to_lend_root()
            for folder in ("log", "snapshots"):
                (self.path / folder).mkdir(mode=0o700, exist_ok=True)
            if not (self.path / ".gitignore").exists():
                self.write(".gitignore", "# Passwords and databases: never commit them.\n*\n")

    def read(self, name: str) -> str | None:
        """The text of a file, without surrounding blanks; None where it does not exist."""
        with explained(self.path):
            try:
                with open(self.path / name, encoding="utf-8", opener=no_links) as file:
                    return file.read().strip()
            except (FileNotFoundError, NotADirectoryError):
                return None
            except UnicodeDecodeError as error:
                raise HomeUnusable(f"{self.path / name} is not text: restore or remove it") from error

    def write(self, name: str, text: str) -> None:
        """Replace a file at once, readable by its owner only."""
        with explained(self.path):
            temporary = self.path / f".{name}.{os.getpid()}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)

    def keep(self, name: str, make: Callable[[], str]) -> str:
        """The text of a file, which is made on first use."""
        kept = self.read(name)
        if kept:
            return kept
        made = make()
        self.write(name, made + "\n")
        return made

    def remove(self, name: str) -> None:
        """Remove a file that may be gone already."""
        (self.path / name).unlink(missing_ok=True)

    def password(self, cluster: ClusterName, role: str) -> str:
        """A role's password in a cluster, made on first use.

        Raises:
            HomeUnusable: The file of passwords is damaged.
        """
        passwords = self._passwords()
        key = f"{role}@{cluster}"
        if key not in passwords:
            passwords[key] = secrets.token_urlsafe(24)
            self.write("passwords", json.dumps(passwords, indent=1) + "\n")
        return passwords[key]

    def port(self, cluster: ClusterName) -> int | None:
        """The port a cluster last had, None where no (readable) address is remembered."""
        try:
            return urlsplit(self.read(f"{cluster}.url") or "").port
        except ValueError:
            return None

    def url(self, cluster: ClusterName, port: int, *, superuser: bool = False, database: str | None = None) -> str:
        """The address of a cluster's database, or of another one in it, over loopback as its usual role."""
        role, usual_database = SIGN_IN[cluster]
        role = SUPERUSERS[cluster] if superuser else role
        password = quote(self.password(cluster, role), safe="")
        # The bundled Postgres has no TLS to negotiate; some clients insist on it unless told so.
        return f"postgresql://{role}:{password}@127.0.0.1:{port}/{database or usual_database}?sslmode=disable"

    def _refuse_to_lend_root(self) -> None:
        """Whoever owns the home, or the link that leads to it, decides what our names in it stand for."""
        owners = {self.path.lstat().st_uid, self.path.stat().st_uid}
        if os.geteuid() == 0 and owners != {0}:
            raise HomeUnusable(
                f"{self.path} does not belong to root: start as the user that it belongs to,"
                " or choose another with --home or OPSBOOK_HOME"
            )

    def _passwords(self) -> dict[str, str]:
        text = self.read("passwords")
        try:
            parsed: object = json.loads(text) if text else {}
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict) or not all(isinstance(value, str) for value in parsed.values()):
            raise HomeUnusable(
                f"{self.path / 'passwords'} is damaged: restore it from a copy of the home,"
                f" or move {self.path} away and start afresh"
            )
        return parsed


def no_links(path: str, flags: int) -> int:
    """An `opener` for `open` that follows no symbolic link, and keeps what it makes from everybody else."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about a folder into what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(folder) from error
        if error.errno == errno.ELOOP:
            raise HomeUnusable(f"{error.filename or folder} is a symbolic link: remove it") from error
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            raise HomeUnusable(f"{error.filename or folder} is in the way: it is not a folder") from error
        raise HomeUnusable(
            f"cannot use the home {folder}: {error.strerror} ({error.filename or folder});"
            " make it writable for you, or choose another with --home or OPSBOOK_HOME"
        ) from error


def disk_full(folder: Path) -> DiskFull:
    """The error for a disk, or a quota, that holds no more."""
    return DiskFull(f"no space left on the disk of {folder}: free some (a cluster needs about 100 MB) and start again")


def says_disk_full(log: str) -> bool:
    """Whether a program's own words are that the disk, or a quota, is full; its locale is C."""
    return any(sign in log for sign in ("No space left on device", "Disk quota exceeded", "Check free disk space"))


class HomeLock:
    """The right to run this home's processes, held until released or until this process ends."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._file is not None

    def acquire(self) -> None:
        """Take the lock; once held, this does nothing.

        Raises:
            AlreadyRunning: Another process holds it; says which, and where it listens.
        """
        if self._file is not None:
            return
        with explained(self._home.path):
            file = open(self._home.path / "up.lock", "a+", encoding="utf-8", opener=no_links)  # noqa: SIM115 (held)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise AlreadyRunning(_held_by(self._home, holder)) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back; without it, this does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _held_by(home: Home, pid: str) -> str:
    whose = f"opsbook is already running on {home.path} (pid {pid or 'unknown'})"
    url = running_at(home).get("url")
    return f"{whose}: {url}" if url else f"{whose}, and is just starting or stopping"


def running_at(home: Home) -> Mapping[str, str]:
    """What `up.json` says about the `opsbook up` that runs here: pid, url, started_at; empty where none does."""
    try:
        parsed: object = json.loads(home.read("up.json") or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in parsed.items()} if isinstance(parsed, dict) else {}
