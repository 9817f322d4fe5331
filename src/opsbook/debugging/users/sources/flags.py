"""Flags that went on, off or to another variant for a person."""

from __future__ import annotations

from collections.abc import Sequence

from opsbook.core.http.fields import parse_number
from opsbook.core.postgres.connect import Connection
from opsbook.debugging.users.sources.interface import Entry, Slice, Source
from opsbook.flags import FlagEffect, effects_on


class Flags(Source):
    """Changes of flags that made a difference to this person."""

    kind = "flags"
    database = "ops"
    note = (
        "Flags: changes that made a difference to this id by itself, judged by today's segments. Who was shown what"
        " is only counted, not kept by person, and rules on other fields than the id are not judged."
    )

    async def read(self, connection: Connection, wanted: Slice) -> Sequence[Entry]:
        effects = await effects_on(
            connection,
            wanted.user_id,
            since=wanted.since,
            until=wanted.until,
            below=parse_number(wanted.before_key or ""),
            inclusive=wanted.before_key is None,
            limit=wanted.limit,
        )
        return [self._entry(effect) for effect in effects]

    def _entry(self, effect: FlagEffect) -> Entry:
        details = {"revision": effect.revision, "actor": effect.actor, "reason": effect.reason}
        return Entry(
            effect.at,
            self.kind,
            f"{effect.revision:019d}",
            f"{effect.flag} went from {effect.before} to {effect.after}",
            {name: value for name, value in details.items() if value is not None},
            f"/ops/flags/{effect.flag}",
        )
