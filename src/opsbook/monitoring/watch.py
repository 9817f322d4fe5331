"""Runs one check again and again in the background, and gives up on a run without waiting for it to end."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from opsbook.core.errors import NotConfigured
from opsbook.monitoring.health import Check, Finding, Measurement, Status

PATIENCE = 3.0
"""Seconds that a run may go on after its deadline: the answer of a server that wakes up still counts at once,
while one that is gone for good (a cut network never says so) is asked anew within `deadline + PATIENCE`."""

RETRY = 0.5
"""Seconds after which what is down is looked at again, however rare its check: a return is told within two."""

MOST_RUNS = 2
"""Runs of one check that may be alive at once: the current one, and one given up that has not ended yet."""


class Watch:
    """Keeps the last measurement of one check.

    Args:
        check: What to run.
    """

    def __init__(self, check: Check) -> None:
        self.check = check
        self.last: Measurement | None = None
        self.first = asyncio.Event()
        """Set once there is a measurement."""
        self._alive: set[asyncio.Task[Finding]] = set()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self._one_round()
            while len(self._alive) >= MOST_RUNS:
                await asyncio.wait(self._alive, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(self._pause())

    async def close(self) -> None:
        """Cancel what still runs; a run that ignores this is left behind."""
        for _ in range(2):  # a thread's run holds on through the first one, see `threads.run_in_thread`
            for attempt in self._alive:
                attempt.cancel()
            if self._alive:
                await asyncio.wait(self._alive, timeout=0.5)

    def _pause(self) -> float:
        down = self.last is not None and self.last.finding.status is Status.DOWN
        return min(self.check.interval, RETRY) if down else self.check.interval

    async def _one_round(self) -> None:
        started = time.monotonic()
        attempt = asyncio.create_task(_find(self.check), name=f"health check {self.check.name}")
        self._alive.add(attempt)
        attempt.add_done_callback(self._alive.discard)
        await asyncio.wait({attempt}, timeout=self.check.deadline)
        if not attempt.done():
            self._record(Finding(Status.DOWN, f"no answer within {self.check.deadline:g} s"), started)
            await asyncio.wait({attempt}, timeout=PATIENCE)
        if not attempt.done():
            # Not awaited: a driver may itself wait for the dead server to acknowledge (psycopg does, for 5 s).
            attempt.cancel()
        elif attempt.cancelled():
            self._record(Finding(Status.DOWN, "the check cancelled itself"), started)
        else:
            self._record(attempt.result(), started)

    def _record(self, finding: Finding, started: float) -> None:
        now = time.monotonic()
        self.last = Measurement(finding, now - started, datetime.now(UTC), now)
        self.first.set()


async def _find(check: Check) -> Finding:
    try:
        found = await check.run()
    except NotConfigured as error:
        return Finding(Status.NOT_CONFIGURED, str(error))
    except Exception as error:  # whatever a check raises is its way of saying that the thing is down
        return Finding(Status.DOWN, f"{type(error).__name__}: {error}".rstrip(": \n"))
    return found if isinstance(found, Finding) else Finding(Status.OK, found)
