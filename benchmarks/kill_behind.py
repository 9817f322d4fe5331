"""How long a kill waits that comes just after somebody else's change of a large rule set has its turn."""

from __future__ import annotations

import json
import statistics
import threading
import time

import psycopg
from psycopg.types.json import Jsonb

from benchmarks._servers import ops_database

CHANGES = 20
VALUES = 50_000
TARGET_MILLISECONDS = 100.0
FREE = "select 1 from revisions where topic = 'flags' for update skip locked"


def main() -> None:
    """Change the one flag's rules over and over, and kill the other while that change has its turn."""
    with ops_database() as (url, _), psycopg.connect(url, autocommit=True) as connection:
        connection.execute("insert into feature_flags (name) values ('vast'), ('urgent')")
        waits = [kill_behind(url, connection, number) for number in range(CHANGES)]
    what = f"a kill just behind a change of a rule with {VALUES:,} values, 1 MB: median of {CHANGES}"
    figure = {"name": "kill_behind", "what": what, "value": round(statistics.median(waits) * 1000, 1), "unit": "ms"}
    print(json.dumps({**figure, "target": TARGET_MILLISECONDS}))


def kill_behind(url: str, connection: psycopg.Connection, number: int) -> float:
    """The seconds that the kill took."""
    values = [f"user-{place:06d}-{number:04d}" for place in range(VALUES)]
    rules = Jsonb([{"constraints": [{"field": "userId", "operator": "in", "values": values}]}])
    with psycopg.connect(url, autocommit=True) as other:
        change = "update feature_flags set rules = %s where name = 'vast'"
        writer = threading.Thread(target=other.execute, args=(change, [rules]))
        writer.start()
        while connection.execute(FREE).fetchone():
            assert writer.is_alive(), "the change was over before its turn was seen"
        began = time.perf_counter()
        connection.execute("update feature_flags set kill_switch = not kill_switch where name = 'urgent'")
        taken = time.perf_counter() - began
        writer.join()
    return taken


if __name__ == "__main__":
    main()
