"""What every format is read into and written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opsbook.flags.model import Flag
from opsbook.flags.targeting.model import Segment


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Something of the other system that has no equal here, and what became of it."""

    flag: str
    what: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """Flags and the segments they name, with what could not be carried over."""

    flags: Sequence[Flag]
    segments: Sequence[Segment] = ()
    left_behind: Sequence[LeftBehind] = ()
