"""Keeps files that were sent with an event, as far as that is kept itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.intake.items import Count, Counts, Kept, Origin
from opsbook.debugging.protocol.document import clean
from opsbook.debugging.protocol.envelope import Item
from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.protocol.identifiers import as_uuid

MOST_BYTES: Final = 5 * 1024 * 1024
"""Of one file: what is larger belongs into an object store."""
MOST_FILES: Final = 10
"""Of one event."""
NAME_CHARACTERS: Final = 200
ROW_BYTES: Final = 300
"""On disk, with its indexes, beside the content."""
CATEGORY: Final = "attachment"
_QUERIES: Final = load_queries("opsbook.debugging.errors")


class Attachment(msgspec.Struct, frozen=True):
    """A file, and the event that it came with."""

    project_id: int
    event_id: UUID
    filename: str
    content_type: str | None
    attachment_type: str | None
    content: bytes


class AttachmentStore:
    """The store of `attachment` items."""

    def read(self, item: Item, origin: Origin) -> Sequence[Attachment]:
        if origin.event_id is None:
            raise Malformed("an attachment needs an envelope that names its event")
        if len(item.payload) > MOST_BYTES:
            raise TooLarge(f"an attachment has at most {MOST_BYTES:,} bytes, this one {len(item.payload):,}")
        return (
            Attachment(
                origin.project_id,
                as_uuid(origin.event_id),
                _named(item.filename) or "unnamed",
                _named(item.content_type),
                _named(item.attachment_type),
                bytes(item.payload),
            ),
        )

    async def write(self, connection: Connection, rows: Sequence[Attachment], counts: Counts) -> Kept:
        added = await connection.execute(
            _QUERIES["add_attachments"],
            {
                "projects": [row.project_id for row in rows],
                "events": [row.event_id for row in rows],
                "filenames": [row.filename for row in rows],
                "content_types": [row.content_type for row in rows],
                "types": [row.attachment_type for row in rows],
                "sizes": [len(row.content) for row in rows],
                "contents": [row.content for row in rows],
                "most": MOST_FILES,
            },
        )
        kept = Kept()
        for row in await added.fetchall():
            counts[Count(row["project_id"], CATEGORY, "accepted")] += 1
            kept[row["project_id"]] += ROW_BYTES + row["bytes"]
        for project_id, files in Counter(row.project_id for row in rows).items():
            if lost := files - counts[Count(project_id, CATEGORY, "accepted")]:
                counts[Count(project_id, CATEGORY, "counted", "event_not_kept")] += lost
        return kept


def _named(text: str | None) -> str | None:
    return clean(text)[:NAME_CHARACTERS] if text else None
