"""All HTTP routes of the flags: admin, segments, and what other systems' clients speak."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.flags import api, segments_api
from opsbook.flags.approval import api as approval_api
from opsbook.flags.exposures import api as exposures_api
from opsbook.flags.ofrep import api as ofrep_api
from opsbook.flags.readers import api as readers_api
from opsbook.flags.schedules import api as schedules_api
from opsbook.flags.unleash import api as unleash_api
from opsbook.flags.webhooks import api as webhooks_api

router = APIRouter()
# First what is asked most: routes are tried in order.
for part in (
    ofrep_api,
    api,
    segments_api,
    exposures_api,
    readers_api,
    approval_api,
    schedules_api,
    webhooks_api,
    unleash_api,
):
    router.include_router(part.router)
