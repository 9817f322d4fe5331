"""A process with cached functions that does what it is told, a line of JSON at a time, and answers in kind.

python worker.py REDIS_URL COMPUTED     COMPUTED is the file that gets a line for each computation
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from opsbook import cached
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import load_settings
from opsbook.performance.cache.process import process

URL, COMPUTED = sys.argv[1], Path(sys.argv[2])
PATIENCE_SECONDS = 10.0
"""So long that a busy machine is not taken for a dead Redis."""


def note(what: str) -> None:
    with COMPUTED.open("a", encoding="utf-8") as file:
        file.write(f"{what} {os.getpid()}\n")


@cached(name="popular")
async def popular() -> int:
    note("popular")
    await asyncio.sleep(0.3)
    return 7


@cached(name="now", tags="clock:{name}")
def now(name: str) -> int:
    note(name)
    return time.time_ns()


@cached(name="endless")
def endless() -> int:
    note("endless")
    while COMPUTED.with_suffix(".hang").exists():
        time.sleep(0.02)
    return os.getpid()


async def storm() -> list[int]:
    return sorted(set(await asyncio.gather(*(popular() for _ in range(100)))))


def forked() -> list[int]:
    """What a child finds that was forked after the cache was used, and whether it then computes by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps([now("before"), now("in the child")]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    found: list[int] = json.loads(os.read(reading, 1000))
    return found


def done(command: str) -> object:
    match command.partition(" "):
        case "storm", _, _:
            return asyncio.run(storm())
        case "now", _, name:
            return now(name)
        case "invalidate", _, name:
            return now.invalidate(name)
        case "purge", _, _:
            return now.purge()
        case "endless", _, _:
            return endless()
        case "forked", _, _:
            return forked()
        case _:
            raise ValueError(command)


process.configure(load_settings(redis_url=URL, home="/nonexistent"), RedisLink(URL, patience_seconds=PATIENCE_SECONDS))
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(done(line.strip())), flush=True)
