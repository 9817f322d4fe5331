"""What the fuzzer calls: everything that reads what a stranger sent, without the server and the database.

`python -m benchmarks._fuzz_target CORPUS [libFuzzer options]`. A refusal is an answer; any other exception ends it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final

atheris: Any = import_module("atheris")  # without types, and not to be had everywhere

with atheris.instrument_imports(include=["opsbook.debugging"]):
    from opsbook.core.errors import OpsbookError
    from opsbook.debugging.checkins.intake import CheckInStore
    from opsbook.debugging.errors.attachments import AttachmentStore
    from opsbook.debugging.errors.feedback import FeedbackStore, UserReportStore
    from opsbook.debugging.errors.rows import read_row
    from opsbook.debugging.intake.items import Origin
    from opsbook.debugging.protocol.authentication import read_credentials
    from opsbook.debugging.protocol.encodings import BodyReader
    from opsbook.debugging.protocol.envelope import Item, parse_envelope
    from opsbook.debugging.protocol.items import check_size, quantity, read_client_report
    from opsbook.debugging.scrubbing import Scrubber

ENCODINGS: Final = ("", "gzip", "deflate", "br", "zstd")
"""By the first byte of what the fuzzer makes; most of it is not compressed, or nothing would get far."""
MOST_BYTES: Final = 1024 * 1024
STORES: Final[dict[str, Any]] = {
    "feedback": FeedbackStore(),
    "user_report": UserReportStore(),
    "attachment": AttachmentStore(),
    "check_in": CheckInStore(),
}
NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCRUBBER: Final = Scrubber()


def encoding_of(made: bytes) -> str:
    """The Content-Encoding that goes with what the fuzzer made."""
    return ENCODINGS[made[0]] if made and made[0] < len(ENCODINGS) else ""


def read(made: bytes) -> None:
    """Read it as a body, then its items, then its first line as credentials."""
    with suppress(OpsbookError):
        reader = BodyReader(encoding_of(made), MOST_BYTES)
        reader.feed(made[1:])
        read_envelope(reader.finish())
    with suppress(OpsbookError):
        line = made[1:200].partition(b"\n")[0].decode("latin-1")
        read_credentials(project="1", sentry_header=line, authorization=line, query=line, envelope_dsn=line)


def read_envelope(body: bytes) -> None:
    envelope = parse_envelope(body)
    origin = Origin(1, NOW, envelope.sent_at, envelope.event_id, "192.0.2.1", SCRUBBER)
    for item in envelope.items:
        with suppress(OpsbookError):
            check_size(item)
            quantity(item)
            read_item(item, origin)


def read_item(item: Item, origin: Origin) -> None:
    if item.type == "client_report":
        list(read_client_report(item))
    elif item.type in STORES:
        STORES[item.type].read(item, origin)
    else:
        read_row(item.payload, origin)


if __name__ == "__main__":
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
