"""Posts one signed notice, to a public address only.

The signature is that of Standard Webhooks 1.0: `v1,` and the base64 HMAC-SHA256 over
`{webhook-id}.{webhook-timestamp}.{body}`, keyed with what follows `whsec_` in the secret.

A webhook's address is a caller's word, and the worker stands inside the network: what resolves to
a private, link-local or otherwise special address is refused, and the connection goes to the very
address that was looked at. Redirects are not followed. Loopback is allowed where the caller says
so, for development.

An attempt ends with its time, however slowly the other side speaks: a timer cuts the connection.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from opsbook.core.errors import Invalid

_PREFIX = "whsec_"
_SECRET_BYTES = 32
_TIMEOUT_SECONDS = 10.0
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""What is given out to hosts (RFC 4291, 2.4); outside it lie NAT64 and other forms with an IPv4 address inside."""
_6TO4 = ipaddress.ip_network("2002::/16")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt."""

    status: int | None
    error: str | None
    milliseconds: int

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def in_words(self) -> str:
        """What came of it in one line."""
        if self.status is None:
            return f"not delivered after {self.milliseconds} ms: {self.error}"
        return f"{'delivered' if self.is_delivered else 'refused'}: status {self.status} after {self.milliseconds} ms"


def new_secret() -> str:
    """A secret that signs."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """What the header `webhook-signature` says."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def check_address(url: str) -> SplitResult:
    """An address's parts.

    Raises:
        Invalid: It is not http:// or https:// with a host, or it carries a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid("a webhook's address is malformed") from error
    if parts.scheme not in _PORTS or not parts.hostname or port == 0 or not url.isprintable() or not url.isascii():
        raise Invalid("a webhook's address is http:// or https:// with a host")
    if parts.username is not None or parts.password is not None:
        raise Invalid("a webhook's address carries no password: the receiver checks the signature")
    return parts


def post(
    url: str, secret: str, message: str, body: bytes, *, loopback: bool, within_seconds: float = _TIMEOUT_SECONDS
) -> Answer:
    """Post a notice and wait for its answer, that long and the time of looking up its host; never raises."""
    started = time.monotonic()
    status: int | None = None
    error: str | None = None
    try:
        parts = check_address(url)
        address = _public_address(parts.hostname or "", parts.port or _PORTS[parts.scheme], loopback=loopback)
        started = time.monotonic()
        status = _post(parts, address, secret, message, body, within_seconds)
    except (OSError, http.client.HTTPException, Invalid, ValueError) as raised:
        is_late = time.monotonic() - started >= within_seconds
        error = f"no answer within {within_seconds} s" if is_late else str(raised)[:500] or type(raised).__name__
    return Answer(status, error, round((time.monotonic() - started) * 1000))


def _post(parts: SplitResult, address: str, secret: str, message: str, body: bytes, within_seconds: float) -> int:
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    timestamp = int(time.time())
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "opsbook",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message, timestamp, body),
    }
    started = time.monotonic()
    sock = socket.create_connection((address, port), within_seconds)
    with closing(sock), _cut_at(sock, started + within_seconds):
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        with closing(connection):
            target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            connection.request("POST", target, body, headers)
            return connection.getresponse().status


@contextmanager
def _cut_at(sock: socket.socket, end: float) -> Iterator[None]:
    """Cut the connection at that time, which wakes who waits on it: a socket's own timeout is for each read anew."""
    # A duplicate, for TLS takes the socket itself over.
    with sock.dup() as same:
        timer = threading.Timer(max(0.0, end - time.monotonic()), _cut, (same,))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        sock.shutdown(socket.SHUT_RDWR)


def _public_address(host: str, port: int, *, loopback: bool) -> str:
    """One of the host's addresses, of which none may be special: half of them inside is a trick, not a service.

    Raises:
        Invalid: The host is not on the public internet.
    """
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if not _is_public(address, loopback=loopback):
            raise Invalid(f"{host} has the address {address}, which is not on the public internet")
    return found[0]


def _is_public(text: str, *, loopback: bool) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    if address.is_loopback:
        return loopback
    if isinstance(address, ipaddress.IPv6Address) and (address not in _GLOBAL_UNICAST or address in _6TO4):
        return False
    return address.is_global and not address.is_multicast
