"""A real Redis of a test's own on a Unix socket, which can be frozen, killed and brought back empty."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import redis

from tests.folders import open_folder

_PROGRAM = os.environ.get("REDIS_SERVER") or which("redis-server")
_START_SECONDS = 20.0


class RedisServer:
    """One Redis process: `url` is where it answers, whatever becomes of it in between."""

    def __init__(self, folder: Path, *options: str) -> None:
        assert _PROGRAM, "no Redis server: install Debian's `redis-server`, or name one in the variable REDIS_SERVER"
        self._socket = folder / "redis.sock"
        self._command = [_PROGRAM, "--port", "0", "--unixsocket", str(self._socket), "--dir", str(folder)]
        self._command += ["--save", "", "--appendonly", "no", "--loglevel", "warning", *options]
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "Redis ended while starting"
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.01)

    def freeze(self) -> None:
        """Connections stay and are accepted, and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`, with whatever was sent in between."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; does nothing where it has ended."""
        self._process.kill()
        self._process.wait()

    def restart_empty(self) -> None:
        """Kill it, and start it again at the same address with nothing in it."""
        self.kill()
        self.start()

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A plain client, for looking in and for making trouble."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            yield client

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def running_redis(*options: str) -> Iterator[RedisServer]:
    """A Redis for as long as the context lasts, with options as its command line takes them (`--maxmemory`, …)."""
    with open_folder() as folder:
        server = RedisServer(folder, *options)
        try:
            yield server
        finally:
            server.kill()
