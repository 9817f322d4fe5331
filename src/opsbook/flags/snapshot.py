"""All flags at one revision: what a process evaluates on, swapped whole, kept on disk for bad days."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import msgspec

from opsbook.flags.evaluation import CompiledFlag, compile_flag
from opsbook.flags.model import Flag

_FORMAT = 1
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every flag by name, as of a revision."""

    revision: int
    flags: Mapping[str, CompiledFlag]

    @classmethod
    def of(cls, revision: int, flags: Iterable[Flag]) -> Snapshot:
        """Compile flags into a snapshot."""
        return cls(revision, MappingProxyType({flag.name: compile_flag(flag) for flag in flags}))

    def changed(self, revision: int, changes: Mapping[str, Flag | None]) -> Snapshot:
        """The snapshot after some changes; None is a deletion."""
        flags = dict(self.flags)
        for name, flag in changes.items():
            if flag is None:
                flags.pop(name, None)
            else:
                flags[name] = compile_flag(flag)
        return Snapshot(revision, MappingProxyType(flags))

    def since(self, older: Snapshot) -> Mapping[str, Flag | None]:
        """What changed from an older snapshot to this one; None is a deletion."""
        changes: dict[str, Flag | None] = {name: None for name in older.flags if name not in self.flags}
        for name, compiled in self.flags.items():
            before = older.flags.get(name)
            if before is None or before.flag != compiled.flag:
                changes[name] = compiled.flag
        return changes


EMPTY = Snapshot.of(0, ())


class SnapshotUnusable(Exception):
    """The file is truncated, damaged, from a newer version, or not ours."""


class _Header(msgspec.Struct):
    format: int
    revision: int
    sha256: str


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write it so that a reader sees the old file or the new one, never half of one.

    Skipped where the file holds this revision already: fifty workers share it.

    Raises:
        OSError: The folder cannot be written.
    """
    if _revision_of(path) == snapshot.revision:
        return
    body = msgspec.json.encode([compiled.flag for compiled in snapshot.flags.values()])
    header = msgspec.json.encode(_Header(_FORMAT, snapshot.revision, hashlib.sha256(body).hexdigest()))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(header + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_snapshot(path: Path) -> Snapshot:
    """The snapshot on disk.

    Raises:
        SnapshotUnusable: It cannot be trusted; the message says why.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid not in (os.geteuid(), 0):
            raise SnapshotUnusable(f"{path} belongs to another user")
        if status.st_size > _MOST_BYTES:
            raise SnapshotUnusable(f"{path} is larger than {_MOST_BYTES:,} bytes")
        head, _, body = file.read().partition(b"\n")
    try:
        header = msgspec.json.decode(head, type=_Header)
        if header.format != _FORMAT:
            raise SnapshotUnusable(f"{path} has format {header.format}, this version reads {_FORMAT}")
        if hashlib.sha256(body).hexdigest() != header.sha256:
            raise SnapshotUnusable(f"{path} is truncated or damaged")
        return Snapshot.of(header.revision, msgspec.json.decode(body, type=list[Flag]))
    except msgspec.DecodeError as error:
        raise SnapshotUnusable(f"{path} is no snapshot of flags") from error


def _revision_of(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.readline(4096), type=_Header).revision
    except (OSError, msgspec.DecodeError):
        return -1
