"""The flags chapter's pages: the list, one flag with its levers, whom it is for, what is planned, who is told."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.flags import flag_pages, list_pages, rule_pages, segment_pages, variant_pages
from opsbook.flags.readers import pages as readers_pages
from opsbook.flags.schedules import pages as schedule_pages
from opsbook.flags.webhooks import pages as webhook_pages

router = APIRouter(include_in_schema=False)
for part in (
    list_pages,
    segment_pages,
    webhook_pages,
    flag_pages,
    rule_pages,
    variant_pages,
    schedule_pages,
    readers_pages,
):
    router.include_router(part.router)
