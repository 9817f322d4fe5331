"""Print each flag change as it is committed."""

from __future__ import annotations

import threading

from opsbook.core.console import out, print_json
from opsbook.flags.client import Flags
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.postgres import PostgresSource


def watch_flags(url: str, *, as_json: bool) -> None:
    """Follow the flags until interrupted; each change is one line."""
    flags = Flags(PostgresSource(url))
    held = flags.snapshot
    first = True

    def print_changes(snapshot: Snapshot) -> None:
        nonlocal held, first
        changes = {} if first else snapshot.since(held)
        held, first = snapshot, False
        for name, flag in changes.items():
            state = flag.state if flag else "deleted"
            if as_json:
                print_json({"revision": snapshot.revision, "name": name, "state": state})
            else:
                out.print(f"{snapshot.revision}  {name}  {state}", markup=False)

    flags.listen(print_changes)
    flags.start()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        flags.close()
