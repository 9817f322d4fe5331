"""The stage of the health tests: databases that can be frozen, killed and started again, and the routes on them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from fastapi import FastAPI
from starlette.types import Message

from opsbook.core.bus import Bus
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.connect import make_pool
from opsbook.core.postgres.home import ClusterName
from opsbook.core.postgres.server import Server
from opsbook.core.runtime import Runtime
from opsbook.core.settings import load_settings
from opsbook.core.supervision.processes import Process
from opsbook.monitoring.api import router
from opsbook.monitoring.health import Status
from opsbook.monitoring.monitor import HealthMonitor
from opsbook.monitoring.service import running

ADMIN_TOKEN = "test-admin-token-0123456789"


@dataclass
class Databases:
    """Both embedded clusters, and what can befall them."""

    postgres: EmbeddedPostgres
    _frozen: list[int] = field(default_factory=list)

    @property
    def urls(self) -> dict[str, str]:
        return self.postgres.urls

    @property
    def settings(self) -> dict[str, str]:
        return {"database_url": self.urls["service"], "ops_database_url": self.urls["ops"]}

    def freeze(self, name: ClusterName) -> None:
        """Stop the postmaster first, then every backend: each of them is a session leader of its own."""
        postmaster = psutil.Process(self._process(name).pid)
        postmaster.suspend()
        self._frozen.append(postmaster.pid)
        for child in postmaster.children(recursive=True):
            child.suspend()
            self._frozen.append(child.pid)

    def thaw(self) -> None:
        for pid in reversed(self._frozen):
            os.kill(pid, signal.SIGCONT)
        self._frozen.clear()

    def kill(self, name: ClusterName) -> None:
        self._process(name).kill()
        self._process(name).wait()

    def start(self, name: ClusterName) -> None:
        server = self._server(name)
        server.start()
        server.wait_until_ready()

    def _process(self, name: ClusterName) -> Process:
        process = self._server(name).process
        assert process is not None
        return process

    def _server(self, name: ClusterName) -> Server:
        return next(server for server in self.postgres.servers if server.name == name)


@dataclass
class Served:
    """A bare app with the health routes on it."""

    app: FastAPI
    monitor: HealthMonitor
    runtime: Runtime
    client: httpx.AsyncClient

    def status(self, name: str) -> Status:
        return self.monitor.report().status_of(name)

    async def get(self, path: str) -> bytes:
        """The status and body of an answer, without a client whose own work would be timed along."""
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "root_path": ""}
        await self.app(scope, receive, send)
        return str(sent[0]["status"]).encode() + b" " + sent[1]["body"]


@asynccontextmanager
async def served(monitor: HealthMonitor | None = None, /, **settings: str) -> AsyncIterator[Served]:
    """The health routes as a server has them, with those settings."""
    named: dict[str, object] = {"home": Path("/nonexistent"), "admin_token": ADMIN_TOKEN, **settings}
    configured = load_settings(None, **named)
    ops = configured.url_of("ops") or "postgresql://nobody@127.0.0.1:1/none"
    runtime = Runtime(configured, (), make_pool(ops, "tests"), Bus(ops), b"key")
    runtime.put(TrustedProxies.parse(""))
    if monitor is not None:
        runtime.put(monitor)
    app = FastAPI()
    app.include_router(router)
    app.state.opsbook = runtime
    await runtime.pool.open(wait=False)
    try:
        async with running(runtime):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://opsbook") as client:
                yield Served(app, runtime.get(HealthMonitor), runtime, client)
    finally:
        await runtime.pool.close(timeout=0.1)


async def until(condition: Callable[[], object], within: float) -> float:
    """Wait for a condition; gives the seconds that took.

    Raises:
        AssertionError: It did not come true in time.
    """
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within, f"not so within {within} s"
        await asyncio.sleep(0.005)
    return time.monotonic() - started
