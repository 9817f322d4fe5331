"""A scratch Opsbook to try things on: a copy of the folder, databases of its own, gone afterwards.

Nothing that a step does there reaches the real databases: the addresses in its environment
are the scratch ones, and files such as `.env` or the Supabase CLI's note of a linked project are not copied.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opsbook.core.errors import Unavailable
from opsbook.core.postgres.home import embedded_urls
from opsbook.core.settings import Settings

START_SECONDS = 60.0
"""How long the scratch service may take to be ready; a first start is promised in 8 s on an idle machine."""
STOP_SECONDS = 15.0
"""How long it may take to stop; `opsbook up` promises 10 s."""

_NOT_COPIED = ".git", ".venv", "node_modules", ".opsbook", ".env", ".env.*", ".temp", "__pycache__", ".*_cache", "dist"
_SHARED = ("node_modules",)


@dataclass(frozen=True, slots=True)
class Scratch:
    """A running scratch service."""

    folder: Path
    """A copy of the runbook's folder, the working folder of its steps."""
    environment: Mapping[str, str]
    """What the steps find in their environment: OPSBOOK_URL, ADMIN_TOKEN, the databases, the commands on PATH."""
    log: Path
    """What `opsbook up` and the programs below it say."""


@contextmanager
def scratch_service(folder: Path) -> Generator[Scratch]:
    """Start `opsbook up` on a copy of a folder, and stop it at the end.

    Raises:
        Unavailable: It did not get ready; the message holds the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="opsbook-scratch-") as scratch:
        Path(scratch).chmod(0o711)  # as root, Postgres runs as somebody else, who must get through
        copy, home = Path(scratch, "service"), Path(scratch, "home")
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
        for shared in _SHARED:
            if (folder / shared).is_dir():
                (copy / shared).symlink_to((folder / shared).absolute())
        environment = _clean_environment(copy) | {"OPSBOOK_HOME": str(home), "ENVIRONMENT": "scratch"}
        with _up(copy, home, environment) as url:
            yield Scratch(copy, environment | _addresses(home, url), _log_of(home))


def _clean_environment(folder: Path) -> dict[str, str]:
    """This process's environment without settings of Opsbook's or libpq's; our commands and npm's first on the path."""
    ours = {
        str(name) for field in Settings.model_fields.values() for name in _environment_names(field.validation_alias)
    }
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("PG")}
    path = [str(Path(sys.executable).parent), str(folder / "node_modules/.bin"), kept.get("PATH", os.defpath)]
    return kept | {"PATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _environment_names(alias: object) -> list[object]:
    return list(getattr(alias, "choices", [alias]))


@contextmanager
def _up(folder: Path, home: Path, environment: Mapping[str, str]) -> Generator[str]:
    """The address of a running `opsbook up`."""
    said = _log_of(home)
    command = [sys.executable, "-m", "opsbook", "up", "--json", "--port", str(_free_port()), "--home", str(home)]
    with said.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield _when_ready(process, said)
    finally:
        _stop(process)


def _log_of(home: Path) -> Path:
    return home.with_name("up.log")


def _when_ready(process: subprocess.Popen[bytes], said: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in said.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("{") and (url := _ready_url(line)):
                return url
        time.sleep(0.05)
    end = "\n".join(said.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
    raise Unavailable(f"the scratch service did not start; `opsbook up` said:\n{end}")


def _ready_url(line: str) -> str | None:
    """The address in the line that `opsbook up --json` prints once ready; None for any other, as a log line."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("url") if "event" not in found else None


def _addresses(home: Path, url: str) -> dict[str, str]:
    databases = embedded_urls(home)
    return {
        "OPSBOOK_URL": url,
        "OPSBOOK_DATABASE_URL": databases["ops"],
        "DATABASE_URL": databases["service"],
        "ADMIN_TOKEN": (home / "admin-token").read_text(encoding="utf-8").strip(),
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # a second one means: at once
            process.wait(STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
