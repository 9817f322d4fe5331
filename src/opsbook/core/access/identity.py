"""The person or machine that acts, and what it may do."""

from __future__ import annotations

import enum
import os
import pwd
import socket
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["operator", "token", "admin_token", "cli", "sql", "system", "anonymous"]
RoleName: TypeAlias = Literal["viewer", "operator", "admin"]
Scope: TypeAlias = Literal[
    "*",
    "database:*",
    "database:read",
    "flags:*",
    "flags:evaluate",
    "flags:read",
    "flags:write",
    "logs:*",
    "logs:read",
    "logs:write",
    "check-ins:*",
    "check-ins:read",
    "check-ins:write",
    "users:read",
    "metrics:*",
    "metrics:read",
    "performance:*",
    "performance:read",
    "performance:write",
    "audit:*",
    "audit:read",
    "access:*",
    "access:write",
    "errors:*",
    "errors:read",
    "errors:write",
]
"""What a token may be narrowed to: everything, an area, or one thing in it.

`flags:evaluate` may ask what flags are for a context but not see their rules: for programs in strangers' hands.
"""


class Role(enum.IntEnum):
    """What somebody may do; each role includes the ones before it."""

    VIEWER = 1
    """Sees everything but secrets."""
    OPERATOR = 2
    """Pulls the levers."""
    ADMIN = 3
    """Decides who else may."""

    @property
    def label(self) -> str:
        """The name as the database and the API spell it."""
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Role:
        """The role of that name.

        Raises:
            KeyError: There is none.
        """
        return cls[label.upper()]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts, as the audit records it."""

    name: str
    kind: Kind
    role: Role | None
    scopes: frozenset[str] = frozenset({"*"})
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    operator_id: int | None = None
    session_id: int | None = None
    token_id: int | None = None

    def may(self, role: Role, scope: str | None = None) -> bool:
        """Whether the role is reached and the scope (`flags:write`) is among those granted."""
        if self.role is None or self.role < role:
            return False
        return scope is None or any(granted in self.scopes for granted in ("*", scope, f"{scope.partition(':')[0]}:*"))


ANONYMOUS = Identity("anonymous", "anonymous", None, frozenset())
SYSTEM = Identity("opsbook", "system", Role.ADMIN)


def host_identity() -> Identity:
    """The person at this machine's shell: whoever can reach the database from here has the keys already.

    The account is the kernel's word, not that of a variable which the shell may set at will;
    `SUDO_USER` counts where root reads it, for only root could have forged it.
    """
    uid = os.getuid()
    behind = os.environ.get("SUDO_USER") if uid == 0 else None
    name = f"{behind or _account(uid)}@{socket.gethostname()}"
    return Identity(f"{name} via sudo" if behind else name, "cli", Role.ADMIN, user_agent="opsbook cli")


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
