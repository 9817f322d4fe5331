"""Several processes on one Redis: one computes for all, what one forgets all forget, and a dead one holds up nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.performance.cache.helpers import until
from tests.redis_server import RedisServer

WORKER = Path(__file__).parent / "worker.py"


class Worker:
    """A process with cached functions."""

    def __init__(self, url: str, computed: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, WORKER, url, computed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=computed.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, command: str) -> Any:
        self.tell(command)
        return self.answer()

    @contextmanager
    def running(self) -> Iterator[Worker]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.process:
            try:
                yield self
            finally:
                self.process.kill()

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which each computation leaves a line."""
    return tmp_path_factory.mktemp("cache") / "computed"


@pytest.fixture(scope="module")
def workers(redis_server: RedisServer, computed: Path) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        started = [stack.enter_context(Worker(redis_server.url, computed).running()) for _ in range(4)]
        for worker in started:
            worker.wait_until_ready()
        yield started


def computations(computed: Path, what: str) -> int:
    return (
        sum(line.rpartition(" ")[0] == what for line in computed.read_text().splitlines()) if computed.exists() else 0
    )


def test_a_hundred_tasks_in_each_of_four_processes_make_one_call(workers: list[Worker], computed: Path) -> None:
    for worker in workers:
        worker.tell("storm")
    assert [worker.answer() for worker in workers] == [[7]] * 4
    assert computations(computed, "popular") == 1


@pytest.mark.parametrize("forget", ["invalidate", "purge"])
def test_what_one_process_forgets_all_forget(workers: list[Worker], computed: Path, forget: str) -> None:
    first, *others = workers
    old = {worker.ask(f"now {forget}") for worker in workers}
    assert len(old) == 1
    first.ask(f"{forget} {forget}")
    new = first.ask(f"now {forget}")
    assert {new} != old
    for worker in others:
        until(lambda: worker.ask(f"now {forget}") == new, within=10)  # noqa: B023
    assert computations(computed, forget) == 2


def test_a_child_forked_after_first_use_goes_on_by_itself(workers: list[Worker]) -> None:
    before = workers[0].ask("now before")
    inherited, own = workers[0].ask("forked")
    assert inherited == before
    assert workers[1].ask("now in the child") == own


def test_who_is_killed_while_computing_is_replaced(redis_server: RedisServer, computed: Path) -> None:
    hang = computed.with_suffix(".hang")
    hang.touch()
    with Worker(redis_server.url, computed).running() as doomed, Worker(redis_server.url, computed).running() as heir:
        for worker in (doomed, heir):
            worker.wait_until_ready()
        doomed.tell("endless")
        until(lambda: computations(computed, "endless") == 1)
        doomed.process.kill()
        hang.unlink()
        assert heir.ask("endless") == heir.process.pid
