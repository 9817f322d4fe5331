"""Which project key a request carries: in a header, in the query, or in the envelope's own DSN.

The places are those of the published protocol ("Authentication" under develop.sentry.dev/sdk).
Several may be used at once, as long as they agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from opsbook.debugging.protocol.errors import ConflictingKeys, Malformed, MissingKey

PROTOCOL_VERSIONS: Final = range(2, 8)
"""Protocol versions of the SDKs in use; 7 is the newest."""

KEY_CHARACTERS: Final = 64
CLIENT_CHARACTERS: Final = 128


class Credentials(msgspec.Struct, frozen=True):
    """Who sends: the project's public key, and the SDK's name and version where it says so."""

    key: str
    client: str | None = None


class Dsn(msgspec.Struct, frozen=True):
    """The parts of a DSN (`https://KEY@HOST/PREFIX/PROJECT`) that say where an envelope belongs."""

    key: str
    project: str
    scheme: str
    host: str
    prefix: str = ""

    def url(self) -> str:
        """Where envelopes for this DSN are posted."""
        return f"{self.scheme}://{self.host}{self.prefix}/api/{self.project}/envelope/"


def read_credentials(
    *,
    project: str,
    sentry_header: str | None = None,
    authorization: str | None = None,
    query: str = "",
    envelope_dsn: str | None = None,
) -> Credentials:
    """The credentials of a request to `project`.

    Takes `X-Sentry-Auth`, `Authorization`, the raw query string and the envelope's DSN as they came.
    Raises `MissingKey`, `ConflictingKeys` where two places disagree, and `Malformed`.
    """
    found = [*_from_headers(sentry_header, authorization), *_from_query(query)]
    if envelope_dsn is not None:
        dsn = parse_dsn(envelope_dsn)
        if dsn.project != project:
            raise ConflictingKeys(f"the envelope's DSN is for project {dsn.project}, the address for {project}")
        found.append(Credentials(dsn.key))
    if not found:
        raise MissingKey("no project key; send X-Sentry-Auth, the query parameter sentry_key, or a dsn in the envelope")
    if len({credentials.key for credentials in found}) > 1:
        raise ConflictingKeys("the request carries two different project keys; send one")
    client = next((credentials.client for credentials in found if credentials.client), None)
    return Credentials(found[0].key, client)


def parse_dsn(text: str) -> Dsn:
    """The parts of a DSN. Raises `Malformed`; a secret after the key, as old DSNs have, is dropped."""
    try:
        parts = urlsplit(text.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise Malformed("the DSN is not an address") from error
    prefix, _, project = parts.path.rstrip("/").rpartition("/")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.username or not project:
        raise Malformed("the DSN must look like https://KEY@HOST/PROJECT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Dsn(_checked_key(unquote(parts.username)), project, parts.scheme, host + port, prefix)


def _from_headers(*headers: str | None) -> Iterator[Credentials]:
    for header in headers:
        scheme, _, rest = (header or "").strip().partition(" ")
        if scheme.lower() == "sentry":
            pairs = (pair.partition("=") for pair in rest.split(","))
            yield _credentials({name.strip(): value.strip().strip('"') for name, _, value in pairs})


def _from_query(query: str) -> Iterator[Credentials]:
    if "sentry_" not in query:
        return
    try:
        fields = dict(parse_qsl(query, max_num_fields=50))
    except ValueError as error:
        raise Malformed("the query string has too many fields") from error
    if "sentry_key" in fields:
        yield _credentials(fields)


def _credentials(fields: dict[str, str]) -> Credentials:
    if not fields.get("sentry_key"):
        raise MissingKey("the authentication has no sentry_key")
    version = fields.get("sentry_version", "7").removesuffix(".0")
    if not (version.isascii() and version.isdigit() and len(version) < 4 and int(version) in PROTOCOL_VERSIONS):
        raise Malformed(f"sentry_version {version[:20]!r} is not spoken here; 7 is")
    client = fields.get("sentry_client") or None
    return Credentials(_checked_key(fields["sentry_key"]), client[:CLIENT_CHARACTERS] if client else None)


def _checked_key(key: str) -> str:
    if not (key.isascii() and key.isalnum() and len(key) <= KEY_CHARACTERS):
        raise Malformed("a project key is letters and digits only")
    return key
