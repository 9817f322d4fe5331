"""What chapters add to the pages that belong to all of them: concerns and levers to Overview, hits to the search.

A chapter's `pages.py` registers its functions when it is imported; the frame calls them and imports nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from opsbook.core.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class Hit:
    """Something the search found, and where it lives."""

    title: str
    path: str
    kind: str
    icon: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that waits for a person: `alarm` now, `warn` today."""

    title: str
    detail: str
    path: str
    tone: Literal["alarm", "warn"]
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lever:
    """Something a person can do, with the step of the runbook that says when."""

    title: str
    detail: str
    path: str
    icon: str
    chapter: str
    step: str


Finder: TypeAlias = "Callable[[Connection, str], Awaitable[Sequence[Hit]]]"
Worrier: TypeAlias = "Callable[[Connection], Awaitable[Sequence[Concern]]]"

_finders: list[Finder] = []
_worriers: list[Worrier] = []
_levers: list[Lever] = []


def finds(finder: Finder) -> Finder:
    """Register a function that finds a chapter's things by a text."""
    _finders.append(finder)
    return finder


def worries(worrier: Worrier) -> Worrier:
    """Register a function that tells what of a chapter waits for a person."""
    _worriers.append(worrier)
    return worrier


def offer(*levers: Lever) -> None:
    """Register what a chapter lets a person do."""
    _levers.extend(levers)


async def find(connection: Connection, text: str) -> list[Hit]:
    """What every chapter finds."""
    return [hit for finder in _finders for hit in await finder(connection, text)]


async def concerns(connection: Connection) -> list[Concern]:
    """What waits for a person, the urgent first."""
    found = [concern for worrier in _worriers for concern in await worrier(connection)]
    return sorted(found, key=lambda concern: concern.tone != "alarm")


def levers() -> Sequence[Lever]:
    """What a person can do, in the order of the chapters."""
    return tuple(_levers)
