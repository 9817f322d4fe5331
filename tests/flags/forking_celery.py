"""A Celery application that made its flags when it was imported, and used them before the worker forked."""

from __future__ import annotations

from celery import Celery
from celery.signals import worker_ready

from tests.flags.forking import flags, tell

app = Celery("forking", broker="memory://")
assert flags.wait_until_ready(10)


@app.task(name="follow")
def follow(name: str) -> None:
    """Occupy a worker process, as a task that takes long."""
    tell(name)


@worker_ready.connect
def begin(**_: object) -> None:
    """Two tasks, for two processes."""
    for name in ("one", "other"):
        app.send_task("follow", (name,))
