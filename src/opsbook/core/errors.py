"""The errors a caller may want to handle, each with what happened, to what, and what to do.

The command line turns them into exit codes, the HTTP layer into problem details.
"""

from __future__ import annotations


class OpsbookError(Exception):
    """Base of all errors that Opsbook raises on purpose."""

    status = 500
    exit_code = 3
    title = "Opsbook could not do this"


class NotConfigured(OpsbookError):
    """A setting that this needs is missing, or has a value that makes no sense."""

    status = 503
    title = "Not configured"


class Unavailable(OpsbookError):
    """A database, server or disk that this needs cannot be reached or used now."""

    status = 503
    title = "Unavailable"


class Invalid(OpsbookError):
    """The input is malformed or breaks a rule; nothing was changed."""

    status = 422
    exit_code = 2
    title = "Invalid input"


class NotFound(OpsbookError):
    """What was named does not exist."""

    status = 404
    title = "Not found"


class Conflict(OpsbookError):
    """Someone else changed it first; nothing was changed."""

    status = 409
    title = "Conflict"


class Forbidden(OpsbookError):
    """The caller is known but may not do this."""

    status = 403
    title = "Forbidden"


class Unauthorized(OpsbookError):
    """The caller is not known: no credential, or one that is forged, expired or revoked."""

    status = 401
    title = "Unauthorized"


class TooManyRequests(OpsbookError):
    """The caller must wait."""

    status = 429
    title = "Too many requests"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
