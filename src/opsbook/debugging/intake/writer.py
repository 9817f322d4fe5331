"""Group commit: what many requests bring in the same few milliseconds is written in one transaction.

A request hands over its rows and waits; it is answered once they are committed. While one
transaction commits, the next gathers. What waits is bounded: beyond that, and while the database
does not answer, requests are refused at once and told when to come back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg_pool import PoolTimeout

from opsbook.core.deadline import within
from opsbook.core.errors import OpsbookError, Unavailable
from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Connection, Pool
from opsbook.core.queries import load_queries
from opsbook.debugging.intake.items import Count, Counts, ItemStore, Kept
from opsbook.debugging.intake.quotas import ERROR, Quotas, Use
from opsbook.debugging.intake.refusals import Away, Busy

MOST_WAITING: Final = 5_000
"""Requests that wait for a commit."""
MOST_WAITING_BYTES: Final = 32 * 1024 * 1024
MOST_ROWS: Final = 500
"""Requests in one transaction."""
MOST_BYTES: Final = 4 * 1024 * 1024
GATHERING_SECONDS: Final = 0.004
"""How long a transaction gathers where the one before had company: fewer, larger ones cost less."""
FLUSH_SECONDS: Final = 1.0
"""After which counts are written though nothing else is."""
MOST_COUNTS: Final = 10_000
"""Kept in memory; what is counted beyond that differs by nothing but its category."""
COMMIT_SECONDS: Final = 8.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0

_QUERIES: Final = load_queries("opsbook.debugging.intake")
_LOST: Final = (psycopg.OperationalError, PoolTimeout, Unavailable, OSError)
"""How it shows that the database does not answer, or not to this."""
_ABOUT_ROWS: Final = ("40", "54")
"""SQLSTATE classes of operational errors that the rows are the reason of: a deadlock, a limit such as an index's."""
_READ_ONLY: Final = "25006"
_RACES: Final = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,
)
"""What two processes may cause that write the same event at once; the second time one sees what the other wrote."""

log = get_logger(__name__)


class NotWritten(OpsbookError):
    """The database refused what this request brought, and would again: a defect of ours, which the log describes."""


@dataclass(slots=True)
class Submission:
    """What one request brings: rows by the type of item, and what else of it is counted."""

    rows: Mapping[str, Sequence[Any]]
    counts: Counts
    size_bytes: int
    committed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """A process's only writer of what SDKs send."""

    def __init__(
        self,
        pool: Pool,
        stores: Mapping[str, ItemStore],
        quotas: Quotas,
        committed: Sequence[Callable[[], None]] = (),
    ) -> None:
        """`committed` are called after each transaction that wrote something sent."""
        self._pool = pool
        self._committed = committed
        self._stores = stores
        self._quotas = quotas
        self._waiting: list[Submission] = []
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._counts: Counts = Counter()
        self._pause = 0.0
        self._away_until = 0.0
        self._closing = False

    async def submit(self, rows: Mapping[str, Sequence[Any]], counts: Counts, size_bytes: int) -> None:
        """Return once the rows are committed.

        Raises:
            Away: The database does not answer. What was sent is not kept, or not known to be.
            Busy: Too much waits already.
            NotWritten: The database refuses these rows.
        """
        self.check()
        submission = Submission(rows, counts, size_bytes)
        self._waiting.append(submission)
        self._waiting_bytes += size_bytes
        self._news.set()
        # Shielded: whoever hangs up takes nothing back that a transaction already holds.
        await asyncio.shield(submission.committed)

    def check(self) -> None:
        """Raises `Away` or `Busy` where there is no point in handing over anything now."""
        left = self._away_until - time.monotonic()
        if left > 0:
            raise Away(max(1, round(left)))
        if len(self._waiting) >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES:
            raise Busy

    def count(self, counts: Counts) -> None:
        """Count what brings no rows; written with the next transaction."""
        if len(self._counts) < MOST_COUNTS:
            self._counts.update(counts)
        else:
            for count, items in counts.items():
                self._counts[count._replace(category="other", reason="")] += items

    async def run(self) -> None:
        """Write until closed, and then what still waits."""
        while not self._closing or self._waiting:
            await self._gather()
            await self._write_next()

    def close(self) -> None:
        """Have `run` come to its end."""
        self._closing = True
        self._news.set()

    async def _gather(self) -> None:
        """Wait until there is something to write, or counts are due."""
        while not self._waiting and not self._closing:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                if self._counts and time.monotonic() >= self._away_until:
                    return

    async def _write_next(self) -> None:
        batch = self._take()
        if batch or (self._counts and time.monotonic() >= self._away_until):
            counts, self._counts = self._counts, Counter()
            await self._commit(batch, counts)
        if len(batch) > 1 and len(self._waiting) < len(batch):
            await asyncio.sleep(GATHERING_SECONDS)

    def _take(self) -> list[Submission]:
        """The longest waiting, as many as fit into a transaction."""
        size_bytes = taken = 0
        for submission in self._waiting[:MOST_ROWS]:
            if taken and size_bytes + submission.size_bytes > MOST_BYTES:
                break
            size_bytes += submission.size_bytes
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._waiting_bytes -= size_bytes
        if not self._waiting and not self._closing:
            self._news.clear()
        return batch

    async def _commit(self, batch: list[Submission], counts: Counts) -> None:
        """Write a batch and answer those who wait."""
        try:
            try:
                await within(COMMIT_SECONDS, self._write(batch, counts))
            except _RACES:
                await within(COMMIT_SECONDS, self._write(batch, counts))
        except Exception as error:
            if _is_lost(error):
                self.count(counts)
                self._back_off(batch, error)
            else:
                await self._commit_apart(batch, counts, error)
        else:
            self._pause = 0.0
            if batch:
                for tell in self._committed:
                    tell()
            for submission in batch:
                if not submission.committed.done():
                    submission.committed.set_result(None)

    async def _commit_apart(self, batch: list[Submission], counts: Counts, error: Exception) -> None:
        """Find what was refused, the counts or a request, for it must take nothing else with it, now or later."""
        if batch and counts:
            await self._commit(batch, Counter())
            await self._commit([], counts)
        elif len(batch) > 1:
            middle = len(batch) // 2
            await self._commit(batch[:middle], counts)
            await self._commit(batch[middle:], counts)
        else:
            # What the database says may quote the rows, and with them what is nobody's business.
            ours = None if isinstance(error, psycopg.Error) else error
            state = getattr(error, "sqlstate", None)
            log.error("intake_refused", error=type(error).__name__, sqlstate=state, counts=len(counts), exc_info=ours)
            _refuse(batch, NotWritten("what was sent could not be kept; the log has more"))

    async def _write(self, batch: list[Submission], counts: Counts) -> None:
        counts = counts + sum((submission.counts for submission in batch), Counter[Count]())
        async with self._pool.connection() as connection:
            async with connection.transaction():
                kept = Kept()
                for kind, store in self._stores.items():
                    rows = [row for submission in batch for row in submission.rows.get(kind, ())]
                    if rows:
                        kept += await store.write(connection, rows, counts)
                uses = await self._use_quotas(connection, counts, kept)
                await _add_counts(connection, counts)
            self._quotas.learn(uses)

    async def _use_quotas(self, connection: Connection, counts: Counts, kept: Kept) -> Sequence[Use]:
        events: Counter[int] = Counter()
        for count, items in counts.items():
            if count.category == ERROR and count.outcome == "accepted":
                events[count.project_id] += items
        projects = [project_id for project_id in events | kept if self._quotas.limits(project_id)]
        if not projects:
            return ()
        parameters = {
            "projects": projects,
            "events": [events[project_id] for project_id in projects],
            "bytes": [kept[project_id] for project_id in projects],
        }
        rows = await (await connection.execute(_QUERIES["use_quotas"], parameters)).fetchall()
        return [Use(**row) for row in rows]

    def _back_off(self, batch: list[Submission], error: Exception) -> None:
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS) if self._pause else _FIRST_PAUSE_SECONDS
        pause = self._pause * jitter(0.75, 1.25)
        self._away_until = time.monotonic() + pause
        log.warning("intake_backs_off", error=type(error).__name__, retry_in_seconds=round(pause, 1))
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._news.clear()
        _refuse([*batch, *waiting], Away(max(1, round(pause))))


def _is_lost(error: Exception) -> bool:
    """Whether there is no point in writing anything for now."""
    state = (error.sqlstate or "") if isinstance(error, psycopg.Error) else ""
    return state == _READ_ONLY or (isinstance(error, _LOST) and not state.startswith(_ABOUT_ROWS))


def _refuse(submissions: Sequence[Submission], error: OpsbookError) -> None:
    for submission in submissions:
        if not submission.committed.done():
            submission.committed.set_exception(error)
            submission.committed.exception()  # seen, in case that whoever waited has hung up


async def _add_counts(connection: Connection, counts: Counts) -> None:
    if counts:
        projects, categories, outcomes, reasons = zip(*counts, strict=True)
        await connection.execute(
            _QUERIES["add_counts"],
            {
                "projects": list(projects),
                "categories": list(categories),
                "outcomes": list(outcomes),
                "reasons": list(reasons),
                "items": list(counts.values()),
            },
        )
