"""`opsbook init`: a new folder with a service to operate: backend/, supabase/, RUNBOOK.md, .env.example.

The wheel carries these files; in a checkout they are those at its root.
"""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from opsbook.core import console
from opsbook.core.console import DryRunOption, JsonOption
from opsbook.core.errors import Conflict, Unavailable

STARTER = ("backend", "supabase", "RUNBOOK.md", ".env.example", ".gitignore")
"""What a new folder gets, in this order."""
GITIGNORE = (
    "# Secrets and databases of this machine.\n.env\n.env.local\n.opsbook/\n.venv/\nnode_modules/\n__pycache__/\n"
)

_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".temp", ".branches")


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made if need be.")] = Path(),
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Write a service to start from: backend/, supabase/, RUNBOOK.md, .env.example.

    Example: opsbook init shop && cd shop && opsbook up
    """
    refuse_taken(directory)
    written = [directory / name for name in STARTER] if dry_run else write_starter(directory)
    if json:
        console.print_json({"folder": directory.absolute(), "written": [*map(str, written)], "dry_run": dry_run})
        return
    verb = "would write" if dry_run else "wrote"
    console.out.print(f"{verb} {', '.join(map(str, written))}", markup=False, soft_wrap=True)
    if not dry_run:
        here = "" if directory == Path() else f"cd {directory} && "
        console.out.print(f"now: {here}opsbook up", markup=False, soft_wrap=True)


def write_starter(folder: Path) -> list[Path]:
    """Write the starter into a folder, made if need be; the paths written.

    Raises:
        Conflict: Something that would be written is there already; nothing was written.
        Unavailable: The folder cannot be written.
    """
    source = starter_folder()
    refuse_taken(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(source, folder, name) for name in STARTER]
    except OSError as error:
        raise Unavailable(f"cannot write {error.filename or folder}: {error.strerror}") from error


def refuse_taken(folder: Path) -> None:
    """Make sure that nothing would be overwritten.

    Raises:
        Conflict: Something that would be written is there already.
    """
    taken = [name for name in STARTER if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise Conflict(f"{folder} already holds {', '.join(taken)}: choose a folder without, or move them away first")


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
