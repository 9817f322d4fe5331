"""Where a home's clusters and sockets lie: in the home, or, where Postgres' account cannot get there, elsewhere.

The home always shows the way: `postgres` and `run` in it are folders, or symbolic
links to folders that the account reaches.
"""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from opsbook.core.postgres.binaries import SHARED_FOLDER
from opsbook.core.postgres.errors import HomeUnusable
from opsbook.core.postgres.home import Home, explained
from opsbook.core.postgres.privileges import Account, account_for

SOCKET_PATH_LIMIT = 107
"""Bytes of a Unix socket's path, unix(7), without the closing NUL."""
LONGEST_SOCKET_NAME = "/.s.PGSQL.65535"


@dataclass(frozen=True, slots=True)
class Layout:
    """Real folders (no links) and the account that works in them."""

    account: Account
    clusters: Path
    sockets: Path


def lay_out(home: Home) -> Layout:
    """Find or make the folders of a home's clusters.

    Raises:
        HomeUnusable: A link of the home leads nowhere.
    """
    with explained(home.path):
        account = account_for(_existing_cluster(home.path / "postgres"))
        clusters = _clusters(home, account)
        return Layout(account, clusters, _sockets(home, clusters, account))


def _existing_cluster(folder: Path) -> Path:
    return next((path for path in (folder / "ops", folder / "service") if path.exists()), folder / "ops")


def _clusters(home: Home, account: Account) -> Path:
    folder = home.path / "postgres"
    if folder.is_symlink() and not folder.exists():
        raise HomeUnusable(
            f"the databases of {home.path} are gone: {folder} leads to {folder.readlink()}, which does not exist;"
            " restore that folder, or remove the link, ops.url and service.url to start afresh"
        )
    if not folder.exists():
        folder.mkdir(mode=0o755)
        if not account.may("x", folder.resolve()):
            folder.rmdir()
            folder.symlink_to(_elsewhere())
    elif not account.may("x", folder.resolve()):
        raise HomeUnusable(
            f"{account.name}, who owns the databases in {folder.resolve()}, can no longer enter that folder:"
            " open the folders above it (`chmod o+x`), or move the home back where it was"
        )
    return folder.resolve()


def _elsewhere() -> Path:
    folder = SHARED_FOLDER / secrets.token_hex(8)
    folder.mkdir(mode=0o755, parents=True)
    SHARED_FOLDER.chmod(0o755)
    folder.chmod(0o755)
    return folder


def _sockets(home: Home, clusters: Path, account: Account) -> Path:
    """The folder of the sockets: `run` in the home, beside the clusters, or a short private one.

    A socket's path must fit its address; a temporary folder may vanish, and is then made anew.
    """
    link = home.path / "run"
    if link.is_symlink() and not link.exists():
        link.unlink()
    if not link.exists():
        inside = clusters.parent == home.path.resolve()
        place = link if inside else clusters / "run"
        if len(str(place.absolute()).encode()) + len(LONGEST_SOCKET_NAME) > SOCKET_PATH_LIMIT:
            place = Path(tempfile.mkdtemp(prefix="opsbook-"))
        place.mkdir(mode=0o700, exist_ok=True)
        account.own(place)
        if place != link:
            link.symlink_to(place)
    return link.resolve()
