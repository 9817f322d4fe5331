"""Where a folder's files name a flag."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from opsbook.core.errors import Invalid

_LARGEST_BYTES: Final = 1024 * 1024
"""Larger files are data or bundles; nobody looks for a flag there."""
_MOST_PLACES: Final = 100
_NOT_OURS: Final = frozenset({"node_modules", "__pycache__", "venv"})


def places(folder: Path, names: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Where the folder's text files name each flag, as `path:line`; at most a hundred each.

    In a git repository those files are looked at that git does not ignore, elsewhere all but
    hidden ones and installed packages. Files over a mebibyte, binary ones and links are passed over.

    Raises:
        Invalid: It is no folder.
    """
    if not folder.is_dir():
        raise Invalid(f"{str(folder)!r} is no folder")
    # A flag `checkout` is not named by `checkout-new`, nor by `precheckout`.
    patterns = {name: re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])") for name in names}
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(_files(folder)):
        text = _text(folder / path)
        for name in [name for name in patterns if name in text]:
            numbers = [n for n, line in enumerate(text.splitlines(), start=1) if patterns[name].search(line)]
            found[name] += [f"{path}:{number}" for number in numbers]
    return {name: found[name][:_MOST_PLACES] for name in patterns}


def _files(folder: Path) -> Iterator[str]:
    try:
        # A repository may name a program of its own as file-system monitor, which must not run.
        listed = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=folder,
            capture_output=True,
            check=True,
        )
        yield from {os.fsdecode(path) for path in listed.stdout.split(b"\0") if path}
    except (OSError, subprocess.CalledProcessError):
        yield from _walked(folder)


def _walked(folder: Path) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".") and each not in _NOT_OURS]
        for file in files:
            yield str((Path(here) / file).relative_to(folder))


def _text(path: Path) -> str:
    """A file's text; none of what cannot be read as such."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_BYTES:
            return ""
        content = path.read_bytes()
    except OSError:
        return ""
    return "" if b"\0" in content else content.decode(errors="replace")
