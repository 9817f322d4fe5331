"""What a running Opsbook process holds: its settings, its pool on the ops database, its bus.

A chapter adds what it keeps alive (a health monitor, a flag snapshot) under its type, and
finds others the same way; no chapter reaches into another's module for a global.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from opsbook.core.bus import Bus
    from opsbook.core.chapter import Chapter
    from opsbook.core.postgres.connect import Pool
    from opsbook.core.settings import Settings

T = TypeVar("T")


@dataclass(slots=True)
class Runtime:
    """The one object behind `request.app.state.opsbook`."""

    settings: Settings
    chapters: tuple[Chapter, ...]
    pool: Pool
    """A new one for each run of the server: ask for it when it is needed, and do not keep it."""
    bus: Bus
    signing_key: bytes
    """Signs what browsers keep: from SECRET_KEY, or one that lasts as long as the process."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the process is told to stop: streams end on it, for the server waits for them."""
    _things: dict[type, object] = field(default_factory=dict)

    def put(self, thing: object) -> None:
        """Make a chapter's object findable by its type."""
        self._things[type(thing)] = thing

    def get(self, kind: type[T]) -> T:
        """The object of that type.

        Raises:
            KeyError: No chapter has put one.
        """
        found = self._things[kind]
        assert isinstance(found, kind)
        return found


def runtime_of(connection: HTTPConnection) -> Runtime:
    """The runtime that serves a request; a FastAPI dependency."""
    runtime: Runtime = connection.app.state.opsbook
    return runtime
