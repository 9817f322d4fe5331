"""`opsbook init`: a new folder with a service to operate: backend/, supabase/, RUNBOOK.md, .env.example.

The wheel carries these files; in a checkout they are those at its root.
"""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from opsbook.core.errors import Conflict, Unavailable

STARTER = ("backend", "supabase", "RUNBOOK.md", ".env.example", ".gitignore")
"""What a new folder gets, in this order."""
GITIGNORE = (
    "# Secrets and databases of this machine.\n.env\n.env.local\n.opsbook/\n.venv/\nnode_modules/\n__pycache__/\n"
)

_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".temp", ".branches")


def write_starter(folder: Path) -> list[Path]:
    """Write the starter into a folder, made if need be; the paths written.

    Raises:
        Conflict: Something that would be written is there already; nothing was written.
        Unavailable: The folder cannot be written.
    """
    source = starter_folder()
    taken = [name for name in STARTER if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise Conflict(f"{folder} already holds {', '.join(taken)}: choose a folder without, or move them away first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(source, folder, name) for name in STARTER]
    except OSError as error:
        raise Unavailable(f"cannot write {error.filename or folder}: {error.strerror}") from error


def starter_folder() -> Path:
    """Where the starter's files lie: in the installed package, else at the root of the checkout.

    Raises:
        Unavailable: Neither holds them, so that the installation is not whole.
    """
    package = Path(str(resources.files("opsbook")))
    for candidate in (package / "starter", package.parent.parent):
        if (candidate / "RUNBOOK.md").is_file() and (candidate / "backend").is_dir():
            return candidate
    raise Unavailable(f"this installation lacks the starter files ({package / 'starter'}): install opsbook again")


def _write(source: Path, folder: Path, name: str) -> Path:
    target = folder / name
    if name == ".gitignore":
        target.write_text(GITIGNORE, encoding="utf-8")
    elif (source / name).is_dir():
        shutil.copytree(source / name, target, ignore=_NOT_COPIED)
    else:
        shutil.copyfile(source / name, target)
    return target
