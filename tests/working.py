"""Runs tasks of the worker once, at once: to wait for their minute would take a minute, or a day."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from procrastinate.exceptions import AlreadyEnqueued

from opsbook.chapters import CHAPTERS
from opsbook.core.jobs import job_app
from opsbook.core.settings import Settings


def run_tasks(settings: Settings, *names: str) -> None:
    """Defer the tasks of those names, with their module's where several have one, and work until none is left."""
    asyncio.run(_run(settings, names))


async def _run(settings: Settings, names: tuple[str, ...]) -> None:
    app = job_app(settings.require_url("ops"), CHAPTERS)
    async with app.open_async():
        chosen = [task for name, task in app.tasks.items() if f".{name}".endswith(tuple(f".{each}" for each in names))]
        assert len(chosen) == len(names)
        for task in chosen:
            # It may be queued already: of a worker that stopped just after its minute had come.
            with suppress(AlreadyEnqueued):
                await task.defer_async(timestamp=0)
        await app.run_worker_async(wait=False, install_signal_handlers=False, additional_context={"settings": settings})
