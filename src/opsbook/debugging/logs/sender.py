"""Writes lines to the ops database: numbered, in order, each once, however often the connection breaks."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import psycopg
from psycopg.rows import TupleRow

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import guarded, parameters
from opsbook.core.queries import load_queries
from opsbook.debugging.logs.line import Line, scrubbed
from opsbook.debugging.scrubbing import Scrubber

_QUERIES = load_queries("opsbook.debugging.logs")
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 3.0

_AWAY: Final = (psycopg.OperationalError, psycopg.ProgrammingError, psycopg.errors.ReadOnlySqlTransaction)
"""No fault of the lines: no answer, no tables yet or not ours to write, a standby that is not promoted yet."""

_Connection: TypeAlias = psycopg.Connection[TupleRow]

log = get_logger(__name__)


@dataclass(slots=True)
class _Position:
    """Which writer this process is, and how far it has come."""

    writer: int
    number: int = 0


class Sender:
    """One process's way into `log_lines`; for one thread."""

    def __init__(self, url: str, environment: str, release: str | None, scrubber: Scrubber) -> None:
        self._url = url
        self._environment = environment
        self._release = release
        self._scrubber = scrubber
        self._connection: _Connection | None = None
        self._position: _Position | None = None
        self._hurry = threading.Event()

    def anew(self) -> Self:
        """One of its own for a forked child, with a connection and a number of its own."""
        return type(self)(self._url, self._environment, self._release, self._scrubber)

    def hurry(self) -> None:
        """From here on fail at the first failure: the process ends."""
        self._hurry.set()

    def send(self, lines: Sequence[Line]) -> int:
        """Write the lines, waiting for the database where it is away; gives how many were given up.

        Given up is each line that the database refuses, and, once in a hurry, what it does not take at once.
        """
        pause = 0.0
        while True:
            try:
                self._write(lines)
            except _AWAY as error:
                self.close()
                if self._hurry.is_set():
                    return len(lines)
                if not pause:
                    log.warning("log_lines_wait", error=str(error).strip() or type(error).__name__)
                pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause or _FIRST_PAUSE_SECONDS)
                # Jitter, so that fifty processes do not all return to a restarted server at once.
                self._hurry.wait(jitter(pause / 2, pause))
            except Exception:
                self.close()
                if half := len(lines) // 2:
                    return self.send(lines[:half]) + self.send(lines[half:])
                # It would be refused for ever, and the ones behind it would never come.
                log.exception("log_line_refused", source=lines[0].logger)
                return 1
            else:
                return 0

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, lines: Sequence[Line]) -> None:
        connection = self._connected()
        assert self._position is not None
        position = self._position
        try:
            with connection.transaction():
                connection.execute(_QUERIES["be_seen"], {"writer": position.writer, **self._about()})
                with connection.cursor() as cursor, cursor.copy(_QUERIES["copy"]) as copy:
                    for row in _rows(position, self._scrubbed(lines)):
                        copy.write_row(row)
        except psycopg.errors.UniqueViolation:
            # They were committed before the connection broke, and only the word of it was lost.
            log.debug("log_lines_known", lines=len(lines))
        position.number += len(lines)

    def _scrubbed(self, lines: Iterable[Line]) -> Iterable[Line]:
        return (scrubbed(line, self._scrubber) for line in lines)

    def _connected(self) -> _Connection:
        if self._connection is None:
            self._connection = psycopg.connect(guarded(self._url), autocommit=True, **parameters("opsbook logs"))
            self._connection.execute(_QUERIES["do_not_wait_for_disk"])
            self._introduce(self._connection)
        return self._connection

    def _introduce(self, connection: _Connection) -> None:
        """Be a writer that the database knows: the same one as before, unless it was restored to before that."""
        about = self._about()
        if self._position:
            known = connection.execute(_QUERIES["known"], {**about, "writer": self._position.writer})
            if known.fetchone():
                return
        row = connection.execute(_QUERIES["introduce"], about).fetchone()
        assert row is not None
        self._position = _Position(row[0])

    def _about(self) -> dict[str, Any]:
        return {
            "host": socket.gethostname(),
            "process_id": os.getpid(),
            "program": _program(),
            "environment": self._environment,
            "release": self._release,
        }


def _rows(position: _Position, lines: Iterable[Line]) -> Iterable[Sequence[object]]:
    for number, line in enumerate(lines, start=position.number + 1):
        moment = datetime.fromtimestamp(line.logged_at, UTC)
        ids = (line.request_id, line.trace_id, line.user_id)
        yield (
            position.writer,
            number,
            moment,
            line.level,
            line.logger,
            line.message,
            line.fields.decode(),
            line.exception,
            *ids,
        )


def _program() -> str:
    """What runs here, as a person would call it: `opsbook worker`, `uvicorn`."""
    name = Path(sys.argv[0]).name
    if name == "__main__.py":
        name = Path(sys.argv[0]).parent.name
    command = next((word for word in sys.argv[1:2] if word.isidentifier()), "") if name == "opsbook" else ""
    return f"{name} {command}".strip()[:200] or "python"
