"""That a change needs a second person, or now waits for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsbook.core.errors import Conflict, OpsbookError


class ApprovalNeeded(Conflict):
    """The flag asks for a second person; nothing was changed."""

    title = "Approval needed"

    def __init__(self, flag: str, fields: Mapping[str, Any], revision: int) -> None:
        super().__init__(f"{flag!r} asks for a second person: ask for the change with `opsbook flags set`")
        self.flag = flag
        self.fields = fields
        self.revision = revision
        """The flag's, at which the change is meant."""


class ApprovalAsked(OpsbookError):
    """The change waits as a request; nothing was changed yet."""

    status = 202
    title = "Waiting for approval"

    def __init__(self, request: int, flag: str) -> None:
        super().__init__(
            f"{flag!r} asks for a second person: the change waits as request {request};"
            f" another person runs `opsbook flags approve {request}`"
        )
        self.request = request
