"""A feature flag as it is stored, and as it travels between processes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:~-]{0,199}$"
"""What a flag may be called: characters that need no escaping in a URL, as Unleash demands too."""


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """One flag. Unknown fields are ignored, so that an older process understands a newer one."""

    name: str
    enabled: bool = False
    """The switch of ordinary days."""
    kill_switch: bool = False
    """Beats everything: off for everybody while it is on."""
    rollout_percentage: float = 100.0
    """How many of a hundred targeting keys are in, in steps of 0.01."""
    description: str = ""
    owner: str | None = None
    tags: Sequence[str] = ()
    rules: Sequence[Any] = ()
    variants: Sequence[Any] = ()
    prerequisites: Sequence[Any] = ()
    expires_at: datetime | None = None
    revision: int = 0
    """Rises with every change to any flag, in the order of commits."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def state(self) -> str:
        """In one word for people: killed, archived, off, partial or on."""
        if self.kill_switch:
            return "killed"
        if self.archived_at is not None:
            return "archived"
        if not self.enabled or self.rollout_percentage <= 0:
            return "off"
        return "on" if self.rollout_percentage >= 100 else "partial"


def flag_from(row: Any) -> Flag:
    """A flag from a database row or decoded JSON.

    Raises:
        msgspec.ValidationError: It is no flag.
    """
    return msgspec.convert(row, Flag, strict=False)
