"""The flags chapter's pages: the list, one flag with its levers, whom it is for, segments."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.flags import flag_pages, list_pages, rule_pages, segment_pages, variant_pages

router = APIRouter(include_in_schema=False)
for part in (list_pages, segment_pages, flag_pages, rule_pages, variant_pages):
    router.include_router(part.router)
