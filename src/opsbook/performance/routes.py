"""All HTTP routes of the performance chapter."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.performance.blocks import api as blocks_api
from opsbook.performance.cache import api as cache_api
from opsbook.performance.limits import api as limits_api

router = APIRouter()
for part in (limits_api, blocks_api, cache_api):
    router.include_router(part.router)
