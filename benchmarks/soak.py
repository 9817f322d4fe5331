"""What takes too long for a test: the service under load and faults, flags and errors by the million.

`--only service`: clients sign up, send events and read them back while, every so often, a part is killed or frozen:
web, worker, a Postgres. Fails if the service does not come back, answers 500, or grows without end.
`--only agreement`: the kit, SQL, OFREP and an Unleash client say the same of 20 flags for 100,000 people.
`--only growth`: ten million evaluations take no more memory than the first.
`--only distinct`: a million errors that have nothing in common; memory, ingest and lists must hold.
`--only kills`: the intake of errors is killed twenty times; no event that was acknowledged is lost.
`--only fuzz`: bodies made by a fuzzer that is guided by coverage, to the readers and then to a server.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks import _agreement, _distinct, _fuzz, _growth, _kills
from opsbook.runbook.scratch import Scratch, scratch_service

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("service", "agreement", "growth", "distinct", "kills", "fuzz")
CLIENTS = 4
FAULT_SECONDS = 15.0
FREEZE_SECONDS = 5.0
RECOVERY_SECONDS = 30.0
STEADY_SECONDS = 3.0
"""How long health must stay well to be believed; it promises to notice a failure within 2 s."""
LARGEST_GROWTH_MIB = 64
"""What the service may grow by from its first quiet minute to the end."""
UNEXPECTED = {500, 501, 502, 504}


@dataclass
class Tally:
    """What was seen."""

    answers: Counter[int] = field(default_factory=Counter[int])
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    recoveries: dict[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])
    """Seconds from the end of each kind of fault until health stayed well, the slowest, and its last complaint."""
    failures: list[str] = field(default_factory=list[str])
    memory_mib: list[float] = field(default_factory=list[float])


def main() -> int:
    """Soak for a while; 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="left out, all of them")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the service is put under load")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the order of the faults")
    arguments = parser.parse_args()
    programs: dict[str, Callable[[], int]] = {
        "service": lambda: service(arguments.minutes, arguments.seed),
        "agreement": _agreement.main,
        "growth": _growth.main,
        "distinct": _distinct.main,
        "kills": _kills.main,
        "fuzz": _fuzz.main,
    }
    assert set(programs) == set(PARTS)
    return max(run() for name, run in programs.items() if arguments.only in (None, name))


def service(minutes: float, seed: int) -> int:
    """Put the reference service under load and faults."""
    os.environ["RATE_LIMIT_PER_MINUTE"] = os.environ["RATE_LIMIT_PER_HOUR"] = "1000000"
    print(f"{minutes:g} minutes, seed {seed}", flush=True)
    with scratch_service(ROOT) as scratch:
        tally = soak(scratch, minutes * 60, random.Random(seed))
        if tally.failures:
            print("\n".join(scratch.log.read_text(encoding="utf-8").splitlines()[-40:]))
    return report(tally)


def soak(scratch: Scratch, seconds: float, chance: random.Random) -> Tally:
    tally, ending = Tally(), threading.Event()
    url = scratch.environment["OPSBOOK_URL"]
    clients = [threading.Thread(target=client, args=(url, number, tally, ending)) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not tally.failures:
            ending.wait(FAULT_SECONDS)
            tally.memory_mib.append(memory_mib())
            name, fault = chance.choice(FAULTS)
            tally.faults[name] += 1
            fault()
            recover(url, name, tally)
    finally:
        ending.set()
        for thread in clients:
            thread.join()
    return tally


def client(url: str, number: int, tally: Tally, ending: threading.Event) -> None:
    """One person's use of the service, over and over; a refused or broken connection is tried again."""
    with httpx.Client(base_url=url, timeout=10) as http:
        token = None
        while not ending.is_set():
            try:
                token = token or sign_up(http, number)
                headers = {"Authorization": f"Bearer {token}"}
                body = {"events": [{"type": "soak", "properties": {"client": number}}]}
                for answer in (
                    http.post("/api/events", json=body, headers=headers),
                    http.get("/api/events?limit=5", headers=headers),
                    http.get("/api/monitoring/health"),
                ):
                    tally.answers[answer.status_code] += 1
                    if answer.status_code in UNEXPECTED:
                        tally.failures.append(f"{answer.request.url.path} answered {answer.status_code}")
            except httpx.TransportError:
                tally.refused += 1
            ending.wait(0.2)


def sign_up(http: httpx.Client, number: int) -> str | None:
    account = {"email": f"soak-{number}-{time.time_ns()}@example.org", "password": "correct horse battery"}
    answer = http.post("/api/auth/sign-up", json=account)
    return answer.json()["access_token"] if answer.status_code == 201 else None


def recover(url: str, name: str, tally: Tally) -> None:
    """Wait until health is well and stays so: right after a fault it may not have noticed yet."""
    began = last_unwell = time.monotonic()
    while (now := time.monotonic()) - began < RECOVERY_SECONDS:
        said = health(url)
        if '"status":"ok","database"' not in said:
            last_unwell = time.monotonic()
            tally.recoveries[name] = max(tally.recoveries.get(name, (0.0, "")), (last_unwell - began, said))
        elif now - last_unwell > STEADY_SECONDS:
            return
        time.sleep(0.1)
    tally.failures.append(f"not well {RECOVERY_SECONDS:g} s after: {name}; health says {health(url)}")


def health(url: str) -> str:
    try:
        return httpx.get(f"{url}/api/monitoring/health", timeout=5).text
    except httpx.TransportError as error:
        return repr(error)


def parts(marks: tuple[str, ...]) -> list[psutil.Process]:
    """The processes below this one with one of these words on their command line."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if any(mark in " ".join(cmdline(process)) for mark in marks)]


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def kill(*marks: str) -> Callable[[], None]:
    def fault() -> None:
        for process in parts(marks)[:1]:
            process.kill()

    return fault


def freeze(*marks: str) -> Callable[[], None]:
    def fault() -> None:
        frozen = [child for parent in parts(marks) for child in (parent, *parent.children(recursive=True))]
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        time.sleep(FREEZE_SECONDS)
        for process in frozen:
            process.send_signal(signal.SIGCONT)

    return fault


FAULTS: list[tuple[str, Callable[[], None]]] = [
    ("kill web", kill("uvicorn")),
    ("kill worker", kill("opsbook worker")),
    ("kill service database", kill("postgres/service")),
    ("kill ops database", kill("postgres/ops")),
    ("freeze service database", freeze("postgres/service")),
    ("freeze ops database", freeze("postgres/ops")),
]


def memory_mib() -> float:
    return sum(process.memory_info().rss for process in parts(("uvicorn",))) / 2**20


def report(tally: Tally) -> int:
    steady = tally.memory_mib[len(tally.memory_mib) // 4 :]
    growth = steady[-1] - steady[0] if steady else 0.0
    if growth > LARGEST_GROWTH_MIB:
        tally.failures.append(f"the service grew by {growth:.0f} MiB")
    print(f"answers {dict(sorted(tally.answers.items()))}, connections refused {tally.refused}")
    for name, times in tally.faults.items():
        slowest, complaint = tally.recoveries.get(name, (0.0, ""))
        print(f"{name}: {times} times, well again after {slowest:.1f} s at the slowest {complaint}")
    print(f"growth {growth:.1f} MiB")
    print("\n".join(tally.failures) or "well throughout")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
