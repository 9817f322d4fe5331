"""Flags from an `opsbook serve`, as server-sent events over one long response.

On the standard library's HTTP client, in a thread: the kit must not need a web stack.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, suppress

import msgspec

from opsbook.core.errors import Invalid
from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.flags.exposures.counting import Counts
from opsbook.flags.model import flag_decoded
from opsbook.flags.readers.confirming import Confirming
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.interface import Receiver, Source
from opsbook.flags.targeting.model import Segment

# The server sends a comment every 10 s; three missed in a row is a dead connection.
_SILENCE_SECONDS = 30.0
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 15.0
_STOP_SECONDS = 2.0
_LONGEST_LINE_BYTES = 64 * 1024 * 1024

log = get_logger(__name__)


class Delivery(msgspec.Struct):
    """The data of one event: every flag (`snapshot`), or what changed (`change`; null is a deletion)."""

    revision: int
    flags: dict[str, msgspec.Raw]
    """Decoded one by one: one that a newer server writes must not hold up the others."""
    segments: list[Segment] = []
    """Of a snapshot; a change of segments is sent as a snapshot."""


class HttpSource(Source):
    """Follows `GET {url}/api/flags/stream` with a bearer token of scope `flags:read`."""

    def __init__(self, url: str, token: str) -> None:
        self._target = _address(url)
        self._token = token
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._backoff = _FIRST_BACKOFF_SECONDS
        self._confirming = Confirming("http")
        self._served = threading.Event()

    @property
    def identity(self) -> str:
        return hashlib.sha256(self._target.netloc.encode()).hexdigest()[:12]

    def start(self, receiver: Receiver) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, args=(receiver,), name="opsbook flags", daemon=True)
            self._thread.start()
            # A thread of its own, for the other waits in a read, and must not wait for an answer instead.
            threading.Thread(target=self._confirm, args=(self._stop,), name="opsbook readers", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._served.set()
        if self._socket is not None:
            # The thread waits in a read, which ends by this alone.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_SECONDS)

    def report(self, counts: Counts) -> None:
        body = msgspec.json.encode(
            {"counts": [{"flag": flag, "variant": variant, "count": n} for (flag, variant), n in counts.items()]}
        )
        self._post("/api/flags/exposures", body)

    def forget_thread(self) -> None:
        self._stop = threading.Event()
        self._served = threading.Event()
        self._confirming.begin_anew()
        self._thread = None
        self._socket = None

    def _run(self, receiver: Receiver) -> None:
        held: int | None = None
        while not self._stop.is_set():
            try:
                for delivered in self._deliveries(held):
                    receiver.receive(_applied(receiver.snapshot, *delivered))
                    held = receiver.snapshot.revision
                    self._confirming.serve(held)
                    self._served.set()
                    if self._stop.is_set():
                        return
            except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
                if not self._stop.is_set():
                    log.warning("flag_stream_lost", error=str(error) or type(error).__name__)
            except Exception:
                # A thread that ended would leave the process with yesterday's flags.
                log.exception("flag_stream_failed")
            # Full jitter: a restarted server must not meet all its clients in the same instant.
            self._stop.wait(jitter(0, self._backoff))
            self._backoff = min(_LONGEST_BACKOFF_SECONDS, self._backoff * 2)

    def _deliveries(self, held: int | None) -> Iterator[tuple[str, Delivery]]:
        with closing(self._connection()) as connection:
            headers = {"Authorization": f"Bearer {self._token}", "Accept": "text/event-stream"}
            if held is not None:
                headers["Last-Event-ID"] = str(held)
            connection.request("GET", f"{self._target.path.rstrip('/')}/api/flags/stream", headers=headers)
            self._socket = connection.sock
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"the flag stream answered {response.status}")
            self._backoff = _FIRST_BACKOFF_SECONDS
            yield from _events(response)

    def _confirm(self, stop: threading.Event) -> None:
        while not stop.is_set():
            left = self._confirming.settle(lambda due: self._post("/api/flags/confirmations", msgspec.json.encode(due)))
            self._served.wait(left)
            self._served.clear()

    def _post(self, path: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        with closing(self._connection()) as connection:
            connection.request("POST", self._target.path.rstrip("/") + path, body, headers)
            status = connection.getresponse().status
        if status != http.HTTPStatus.NO_CONTENT:
            raise http.client.HTTPException(f"the server answered {status} to {path}")

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._target.hostname or "", self._target.port
        if self._target.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=_SILENCE_SECONDS, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=_SILENCE_SECONDS)


def _address(url: str) -> urllib.parse.SplitResult:
    """An address's parts.

    Raises:
        Invalid: It is none.
    """
    try:
        target = urllib.parse.urlsplit(url)
        if target.scheme in ("http", "https") and target.hostname and target.port != 0:
            return target
    except ValueError:
        pass
    raise Invalid("OPSBOOK_URL must be an http:// or https:// address")


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, Delivery]]:
    """The stream's events (WHATWG HTML, 9.2.6), of which ours have one data line each."""
    kind = ""
    while line := response.readline(_LONGEST_LINE_BYTES):
        name, _, value = line.rstrip(b"\r\n").partition(b": ")
        if name == b"event":
            kind = value.decode()
        elif name == b"data" and kind in ("snapshot", "change"):
            yield kind, msgspec.json.decode(value, type=Delivery)


def _applied(held: Snapshot, kind: str, delivered: Delivery) -> Snapshot:
    flags = {name: None if bytes(raw) == b"null" else flag_decoded(name, raw) for name, raw in delivered.flags.items()}
    if kind == "snapshot":
        return Snapshot.of(delivered.revision, filter(None, flags.values()), delivered.segments)
    return held.changed(delivered.revision, flags)
