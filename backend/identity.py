"""Who a signed-in person is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class User:
    """A person, and the session they are using."""

    id: UUID
    email: str
    session_id: UUID

    def claims(self) -> Mapping[str, str]:
        """What row level security asks about: `auth.uid()` is `sub`, `auth.role()` is `role`."""
        return {
            "sub": str(self.id),
            "role": "authenticated",
            "aud": "authenticated",
            "email": self.email,
            "session_id": str(self.session_id),
        }
