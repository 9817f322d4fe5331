"""The access chapter's pages: signing in, the audit, and who may come in."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.access import audit_pages, people_pages, sign_in_pages

router = APIRouter(include_in_schema=False)
for part in (sign_in_pages, audit_pages, people_pages):
    router.include_router(part.router)
