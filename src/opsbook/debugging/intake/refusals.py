"""Why something that an SDK sent is refused, and how long the SDK is told to hold back."""

from __future__ import annotations

from opsbook.core.errors import Forbidden, TooManyRequests, Unavailable
from opsbook.debugging.protocol.rate_limits import RateLimit


class UnknownKey(Forbidden):
    """No such project, no such key, or a key that was disabled."""


class QuotaUsedUp(TooManyRequests):
    """The project has sent what it may within the minute, the hour or the day."""

    def __init__(self, message: str, limit: RateLimit) -> None:
        super().__init__(message, limit.seconds)
        self.limit = limit


class Busy(TooManyRequests):
    """More is waiting to be written than this process holds."""

    def __init__(self, seconds: int = 5) -> None:
        super().__init__("more arrives than can be written; send again later", seconds)
        self.limit = RateLimit(seconds, reason="busy")


class Away(Unavailable):
    """The ops database does not answer; nothing was kept."""

    def __init__(self, seconds: int) -> None:
        super().__init__("what was sent could not be kept, for the database does not answer; send again later")
        self.limit = RateLimit(seconds, reason="unavailable")
