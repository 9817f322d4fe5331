"""What the debugging chapter keeps alive in a server: the intake of what SDKs send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from opsbook import __version__
from opsbook.core.log import get_logger
from opsbook.core.runtime import Runtime
from opsbook.core.settings import Settings
from opsbook.debugging.checkins.health import check_ins_in_health
from opsbook.debugging.checkins.intake import CheckInStore
from opsbook.debugging.errors.announcing import Announcer
from opsbook.debugging.errors.attachments import AttachmentStore
from opsbook.debugging.errors.counting import PendingCounts
from opsbook.debugging.errors.dictionaries import Dictionaries
from opsbook.debugging.errors.feedback import FeedbackStore, UserReportStore
from opsbook.debugging.errors.health import quotas_in_health
from opsbook.debugging.errors.writing import EventStore
from opsbook.debugging.intake.forwarding import Forwarder
from opsbook.debugging.intake.items import register, stores
from opsbook.debugging.intake.projects import Projects
from opsbook.debugging.intake.quotas import Quotas
from opsbook.debugging.intake.receiving import Receiver
from opsbook.debugging.intake.writer import Writer
from opsbook.debugging.logs.streams import LogReaders
from opsbook.debugging.protocol.authentication import Dsn, parse_dsn
from opsbook.debugging.protocol.errors import Malformed
from opsbook.debugging.scrubbing import Scrubber
from opsbook.debugging.sourcemaps.maps import SourceMaps
from opsbook.debugging.sourcemaps.uploads import Uploads
from opsbook.debugging.users.trails import trails_in

_STOP_SECONDS = 1.5

log = get_logger(__name__)


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Receive what SDKs send while the server lives, and write what waits before it ends."""
    dictionaries = Dictionaries(runtime.bus)
    pending = PendingCounts(runtime.pool)
    register("event", EventStore(runtime.settings.errors_full_per_hour, dictionaries, pending.left))
    register("feedback", FeedbackStore())
    register("user_report", UserReportStore())
    register("attachment", AttachmentStore())
    register("check_in", CheckInStore())
    projects = Projects(runtime.bus)
    quotas = Quotas(projects)
    announcer = Announcer(runtime.pool)
    writer = Writer(runtime.pool, stores(), quotas, (announcer.note, pending.committed))
    source_maps = SourceMaps(runtime.pool, runtime.bus)
    receiver = Receiver(
        projects,
        quotas,
        writer,
        scrubber=Scrubber(),
        source_maps=source_maps,
        stores=stores(),
        clock=lambda: datetime.now(UTC),
    )
    forwarder = Forwarder(_other_sentry(runtime.settings), f"opsbook/{__version__}", projects)
    runtime.put(receiver)
    runtime.put(LogReaders())
    runtime.put(forwarder)
    runtime.put(source_maps)
    runtime.put(Uploads(runtime.pool))
    runtime.bus.start()
    await projects.load(runtime.pool)
    writing, forwarding = asyncio.create_task(writer.run()), asyncio.create_task(forwarder.run())
    announcing, counting = asyncio.create_task(announcer.run()), asyncio.create_task(pending.run())
    try:
        async with quotas_in_health(runtime), check_ins_in_health(runtime), trails_in(runtime):
            yield
    finally:
        projects.forget()
        dictionaries.forget()
        source_maps.forget()
        forwarding.cancel()
        announcing.cancel()
        counting.cancel()
        writer.close()
        # A database that hangs must not hang the stop: what waits for it was never acknowledged.
        await asyncio.wait({writing}, timeout=_STOP_SECONDS)
        writing.cancel()
        receiver.room.close()


def _other_sentry(settings: Settings) -> Dsn | None:
    """Where envelopes go on to; a DSN that is none is said so, and forwards nothing."""
    if settings.sentry_dsn is None:
        return None
    try:
        return parse_dsn(settings.sentry_dsn.get_secret_value())
    except Malformed as error:
        log.warning("sentry_dsn_unusable", error=str(error))
        return None
