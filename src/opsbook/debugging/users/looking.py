"""That somebody looked at a person's trail is itself recorded, before anything is shown."""

from __future__ import annotations

from opsbook.core.access import Identity
from opsbook.core.audit import acting, record
from opsbook.core.postgres.connect import Connection, Pool
from opsbook.debugging.users.sources.interface import BEGINNING, END
from opsbook.debugging.users.timeline import Wanted


async def note_look(
    source: Pool | Connection, identity: Identity, wanted: Wanted, *, taken_as: str | None = None
) -> None:
    """Record who looks at whose trail, and at what of it; `taken_as` is the format of a file."""
    looked_at = {
        "kinds": list(wanted.kinds) or None,
        "since": wanted.since.isoformat() if wanted.since != BEGINNING else None,
        "until": wanted.until.isoformat() if wanted.until != END else None,
        "before": str(wanted.before) if wanted.before else None,
        "format": taken_as,
    }
    async with acting(source, identity) as connection:
        await record(
            connection,
            "user.export" if taken_as else "user.read",
            "user",
            wanted.user_id,
            after={name: value for name, value in looked_at.items() if value is not None},
        )
