"""What can be wrong with what an SDK sends, each with the HTTP status that its sender understands."""

from __future__ import annotations

from opsbook.core.errors import Forbidden, Invalid, OpsbookError, Unauthorized


class Malformed(Invalid):
    """The body does not follow the published format; sending it again will not help."""

    status = 400
    title = "Malformed request"


class TooLarge(OpsbookError):
    """The body, one of its items, or what it unpacks to is above a limit."""

    status = 413
    exit_code = 2
    title = "Too large"


class UnsupportedEncoding(OpsbookError):
    """A Content-Encoding that is not read here."""

    status = 415
    exit_code = 2
    title = "Unsupported encoding"


class MissingKey(Unauthorized):
    """No project key: not in a header, not in the query, not in the envelope."""


class ConflictingKeys(Forbidden):
    """The request names two different keys, or two different projects."""

    title = "Conflicting credentials"
