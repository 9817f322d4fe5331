"""How long until 50 worker processes obey a flag change, made by SQL, by the API and by the command line.

Each worker is a Python process of its own with the kit on the Postgres source. It notes when
`enabled()` first gave the new answer. Time runs from the moment the change's trigger fired, which
the database notes (`changed_at`) just before the commit; both clocks are this machine's.
A worker that skips a change because a newer one came with it obeys the skipped one at that time.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from benchmarks._servers import control_plane, ops_database
from opsbook import Flags
from opsbook.flags import PostgresSource

WORKERS = 50
FLIPS = 200
PAUSE_SECONDS = (0.05, 0.1)
FLAG = "flipped"
TARGET_P99_MILLISECONDS = 100.0
TARGET_MAX_MILLISECONDS = 1000.0

Observations = list[tuple[int, int]]
"""One worker's: each revision it came to, with the nanoseconds since the epoch at which it obeyed."""


def main() -> None:
    """Flip by each of the three ways, with the workers listening all along."""
    with (
        ops_database() as (url, folder),
        psycopg.connect(url, autocommit=True) as connection,
        control_plane(url, folder) as api,
    ):
        connection.execute("insert into feature_flags (name, enabled) values (%s, true)", [FLAG])
        for way, flip in (
            ("sql", flipping_by_sql(connection)),
            ("api", flipping_by_api(api)),
            ("cli", flipping_by_command_line(url)),
        ):
            with workers(url, folder / way) as observed:
                committed = flipped(connection, flip)
            report(way, delays(committed, observed))


def flipped(connection: psycopg.Connection, flip: Callable[[bool], object]) -> dict[int, int]:
    """Flip so many times; the moment of each revision, in nanoseconds since the epoch."""
    newest = "select coalesce(max(revision), 0) from feature_flag_revisions"
    (before,) = connection.execute(newest).fetchone() or (0,)
    for number in range(FLIPS):
        flip(number % 2 == 0)
        time.sleep(random.uniform(*PAUSE_SECONDS))
    rows = connection.execute(
        "select revision, (extract(epoch from changed_at) * 1000000)::bigint * 1000"
        " from feature_flag_revisions where revision > %s",
        [before],
    ).fetchall()
    assert len(rows) == FLIPS
    return dict(rows)


def flipping_by_sql(connection: psycopg.Connection) -> Callable[[bool], object]:
    statement = "update feature_flags set kill_switch = %s where name = %s"
    return lambda killed: connection.execute(statement, [killed, FLAG])


def flipping_by_api(client: httpx.Client) -> Callable[[bool], object]:
    def flip(killed: bool) -> None:
        client.post("/api/admin/feature-flags", json={"name": FLAG, "kill_switch": killed}).raise_for_status()

    return flip


def flipping_by_command_line(url: str) -> Callable[[bool], object]:
    environment = {**os.environ, "OPSBOOK_DATABASE_URL": url}

    def flip(killed: bool) -> None:
        command = [sys.executable, "-m", "opsbook", "flags", "kill" if killed else "revive", FLAG, "--yes"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

    return flip


@contextmanager
def workers(url: str, folder: Path) -> Iterator[list[Observations]]:
    """Fifty processes that follow the flags while the context lasts; after it, what they saw."""
    folder.mkdir()
    nursery = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.obeyed", "nursery", url, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    observed: list[Observations] = []
    try:
        for _ in range(WORKERS):
            assert nursery.stdout.read(1) == b".", "a worker did not start"
        yield observed
        time.sleep(TARGET_MAX_MILLISECONDS / 1000)
    finally:
        nursery.stdin.close()
        nursery.wait(30)
    observed += [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert len(observed) == WORKERS


def nursery(url: str, folder: Path) -> None:
    """Fork the workers from a process that has used the kit itself, as a preloading server would."""
    flags = Flags(PostgresSource(url), folder / "snapshots")
    assert flags.wait_until_ready(10)
    gc.freeze()
    children = [pid for number in range(WORKERS) if (pid := forked(flags, folder / f"{number}.json"))]
    for pid in children:
        os.waitpid(pid, 0)


def forked(flags: Flags, file: Path) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            worker(flags, file)
            status = 0
        finally:
            os._exit(status)
    return pid


def worker(flags: Flags, file: Path) -> None:
    """Note each change until standard input ends."""
    seen: Observations = []

    def note(_: object) -> None:
        compiled = flags.snapshot.flags[FLAG]
        assert flags.enabled(FLAG, "u1") is not compiled.flag.kill_switch
        seen.append((compiled.flag.revision, time.time_ns()))

    flags.listen(note)
    assert flags.wait_until_ready(30)
    os.write(1, b".")
    os.read(0, 1)
    file.write_text(json.dumps(seen))


def delays(committed: dict[int, int], observed: list[Observations]) -> list[float]:
    """Milliseconds from commit to obeyed, over every worker and change."""
    found: list[float] = []
    for seen in observed:
        revisions = [revision for revision, _ in seen]
        for revision, moment in committed.items():
            first = bisect_left(revisions, revision)
            assert first < len(seen), f"a worker never obeyed revision {revision}"
            found.append((seen[first][1] - moment) / 1e6)
    return found


def report(way: str, found: list[float]) -> None:
    percentiles = statistics.quantiles(found, n=100)
    what = f"{way.upper()} commit → obeyed by {WORKERS} processes, {FLIPS} flips"
    for name, value, target in (
        ("p50", percentiles[49], None),
        ("p99", percentiles[98], TARGET_P99_MILLISECONDS),
        ("max", max(found), TARGET_MAX_MILLISECONDS),
    ):
        figure = {"name": f"obeyed_{way}_{name}", "what": f"{what}: {name}", "value": round(value, 2), "unit": "ms"}
        print(json.dumps({**figure, "target": target}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["nursery"]:
        nursery(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
