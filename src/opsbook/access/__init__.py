"""Access and the audit trail: who may come in, who did what; the faces of `core.access` and `core.audit`."""

from __future__ import annotations

from opsbook.core.chapter import Chapter, Command

CHAPTER = Chapter(
    name="access",
    title="Access & Audit",
    commands={
        "token": Command("opsbook.access.commands:token_app", "Make, list and revoke API tokens."),
        "audit": Command("opsbook.access.commands:audit_app", "Read, verify and export the audit trail."),
        "link": Command("opsbook.access.commands:link", "Print a one-time sign-in link for the owner."),
    },
    api="opsbook.access.api:router",
    pages="opsbook.access.pages:router",
    page="access",
)
