"""All flags at one revision: what a process evaluates on, swapped whole, kept on disk for bad days."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from types import MappingProxyType

import msgspec

from opsbook.core.log import get_logger
from opsbook.flags.evaluation import CompiledFlag, compile_flag
from opsbook.flags.model import Flag, flag_decoded
from opsbook.flags.targeting.model import Segment

_FORMAT = 3
_MOST_BYTES = 64 * 1024 * 1024

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every flag by name and the segments they name, as of a revision."""

    revision: int
    flags: Mapping[str, CompiledFlag]
    segments: Mapping[str, Segment] = field(default_factory=dict[str, Segment])

    @classmethod
    def of(cls, revision: int, flags: Iterable[Flag], segments: Iterable[Segment] = ()) -> Snapshot:
        """Compile flags into a snapshot."""
        known = MappingProxyType({segment.name: segment for segment in segments})
        return cls(revision, MappingProxyType({flag.name: _compiled(flag, known) for flag in flags}), known)

    def changed(self, revision: int, changes: Mapping[str, Flag | None]) -> Snapshot:
        """The snapshot after some changes of flags; None is a deletion."""
        flags = dict(self.flags)
        for name, flag in changes.items():
            if flag is None:
                flags.pop(name, None)
            else:
                flags[name] = _compiled(flag, self.segments)
        return Snapshot(revision, MappingProxyType(flags), self.segments)

    def parts(self) -> tuple[Mapping[str, Flag], list[Segment]]:
        """The flags by name and the segments, as they travel."""
        return {name: compiled.flag for name, compiled in self.flags.items()}, [*self.segments.values()]

    def since(self, older: Snapshot) -> Mapping[str, Flag | None]:
        """What changed from an older snapshot to this one; None is a deletion."""
        changes: dict[str, Flag | None] = {name: None for name in older.flags if name not in self.flags}
        for name, compiled in self.flags.items():
            before = older.flags.get(name)
            if before is None or before.flag != compiled.flag:
                changes[name] = compiled.flag
        return changes


def _compiled(flag: Flag, segments: Mapping[str, Segment]) -> CompiledFlag:
    try:
        return compile_flag(flag, segments)
    except Exception:
        # One flag that nobody foresaw must not keep a kill of another from being obeyed.
        log.exception("flag_uncompilable", name=flag.name)
        return compile_flag(Flag(name=flag.name, value_type=flag.value_type, revision=flag.revision))


EMPTY = Snapshot.of(0, ())


class SnapshotUnusable(Exception):
    """The file is truncated, damaged, from a newer version, or not ours."""


class _Header(msgspec.Struct):
    format: int
    revision: int
    sha256: str


class _Body(msgspec.Struct):
    flags: dict[str, msgspec.Raw]
    segments: list[Segment]


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write it so that a reader sees the old file or the new one, never half of one.

    Skipped where the file holds this revision already: fifty workers share it.

    Raises:
        OSError: The folder cannot be written.
    """
    if _revision_of(path) == snapshot.revision:
        return
    flags, segments = snapshot.parts()
    body = msgspec.json.encode({"flags": flags, "segments": segments})
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
        state = msgspec.json.decode(body, type=_Body)
        return Snapshot.of(header.revision, starmap(flag_decoded, state.flags.items()), state.segments)
    except msgspec.DecodeError as error:
        raise SnapshotUnusable(f"{path} is no snapshot of flags") from error


def _revision_of(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.readline(4096), type=_Header).revision
    except (OSError, msgspec.DecodeError):
        return -1
