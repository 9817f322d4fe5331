"""Who may do what: roles, people, browser sessions, API tokens, one-time sign-in links."""

from opsbook.core.access.identity import ANONYMOUS, SYSTEM, Identity, Kind, Role, RoleName, Scope

__all__ = ["ANONYMOUS", "SYSTEM", "Identity", "Kind", "Role", "RoleName", "Scope"]
