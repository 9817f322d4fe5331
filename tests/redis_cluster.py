"""A real Redis cluster of two nodes, each with half of the slots, for as long as a test needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which

import redis

from tests.folders import open_folder

_PROGRAM = os.environ.get("REDIS_SERVER") or which("redis-server")
_SLOTS = 16384
_START_SECONDS = 30.0


@contextmanager
def running_cluster() -> Iterator[str]:
    """The address of one of the nodes, once both know of each other."""
    ports = _free_ports(2)
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(_node(stack.enter_context(open_folder()), port))
        nodes = [stack.enter_context(redis.Redis(port=port, socket_timeout=5)) for port in ports]
        _until(lambda: all(_answers(node) for node in nodes))
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER", "ADDSLOTS", *range(number * _SLOTS // 2, (number + 1) * _SLOTS // 2))
        nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1])
        _until(lambda: all("cluster_state:ok" in _state(node) for node in nodes))
        yield f"redis://127.0.0.1:{ports[0]}"


@contextmanager
def _node(folder: Path, port: int) -> Iterator[None]:
    assert _PROGRAM, "no Redis server: install Debian's `redis-server`, or name one in the variable REDIS_SERVER"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--loglevel", "warning"]
    process = subprocess.Popen([_PROGRAM, *options, "--cluster-enabled", "yes"], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports whose cluster bus, 10,000 above, is a port too."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            if port < 55_000:
                found.append(port)
        return found


def _answers(node: redis.Redis) -> bool:
    try:
        return bool(node.ping())
    except redis.ConnectionError:
        return False


def _state(node: redis.Redis) -> str:
    return str(node.execute_command("CLUSTER", "INFO"))


def _until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the cluster did not come together"
        time.sleep(0.02)
