"""A server in a thread of the test's own process, on a free port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from opsbook.core.settings import Settings
from opsbook.server import create_app

_DEADLINE_SECONDS = 15


@contextmanager
def serving(settings: Settings, port: int = 0) -> Iterator[str]:
    """The control plane with these settings, for as long as the context lasts; gives its address."""
    with serving_app(create_app(settings), port) as address:
        yield address


@contextmanager
def serving_app(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Any app, for as long as the context lasts; gives its address."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server ended while starting"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_DEADLINE_SECONDS)
        listener.close()
