"""Print each flag change as it is committed."""

from __future__ import annotations

import threading

import orjson
import typer

from opsbook.flags.client import Flags
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.postgres import PostgresSource


def watch_flags(url: str, *, as_json: bool) -> None:
    """Follow the flags until interrupted; each change is one line, also as JSON, and is out at once."""
    flags = Flags(PostgresSource(url))
    held = flags.snapshot
    first = True

    def print_changes(snapshot: Snapshot) -> None:
        nonlocal held, first
        changes = {} if first else snapshot.since(held)
        held, first = snapshot, False
        for name, flag in changes.items():
            state = flag.state if flag else "deleted"
            revision = flag.revision if flag else snapshot.revision
            if as_json:
                typer.echo(orjson.dumps({"revision": revision, "name": name, "state": state}))
            else:
                typer.echo(f"{revision}  {name}  {state}")

    flags.listen(print_changes)
    flags.start()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        flags.close()
