"""The feature state that SDKs fetch: written once for each change of any flag, however many ask."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from opsbook.core.log import get_logger
from opsbook.flags.interchange.interface import Bundle
from opsbook.flags.interchange.unleash_writer import write_unleash
from opsbook.flags.snapshot import Snapshot

_KNOWS_SEGMENTS: Final = (4, 2)
"""The version of Unleash's client specification that brought segments by number."""
_MOST_LOGGED: Final = 20

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Features:
    """One state, in the forms in which it is sent."""

    snapshot: Snapshot
    body: bytes
    entity_tag: str
    left_behind: int
    """How many things Unleash has no words for; the log and `opsbook flags export --format unleash` say which."""
    event: bytes
    """The same as one event of the delta protocol, which takes the place of all that the SDK held."""


class FeatureWriter:
    """Keeps the newest state, for SDKs that know segments and for those that do not."""

    def __init__(self) -> None:
        self._newest: dict[bool, Features] = {}

    def features(self, snapshot: Snapshot, specification: str) -> Features:
        """The state of a snapshot for an SDK that supports a version of Unleash's client specification."""
        inline = not _knows_segments(specification)
        held = self._newest.get(inline)
        if held is None or held.snapshot is not snapshot:
            held = self._newest[inline] = _write(snapshot, inline)
        return held


def _write(snapshot: Snapshot, inline: bool) -> Features:
    flags, segments = snapshot.parts()
    state = write_unleash(Bundle([*flags.values()], segments), inline_segments=inline)
    if state.left_behind:
        told = [f"{each.flag}: {each.what}" for each in state.left_behind[:_MOST_LOGGED]]
        log.warning("unleash_cannot_say", count=len(state.left_behind), what=told, revision=snapshot.revision)
    body = msgspec.json.encode(state.body)
    hydration: dict[str, Any] = {
        "type": "hydration",
        "eventId": snapshot.revision,
        "features": state.body["features"],
        "segments": state.body["segments"],
    }
    return Features(
        snapshot,
        body,
        f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        len(state.left_behind),
        msgspec.json.encode({"events": [hydration]}),
    )


def _knows_segments(specification: str) -> bool:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", specification)
    return found is not None and (int(found[1]), int(found[2])) >= _KNOWS_SEGMENTS
