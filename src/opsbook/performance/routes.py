"""All HTTP routes of the performance chapter."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.performance.blocks import api as blocks_api

router = APIRouter()
for part in (blocks_api,):
    router.include_router(part.router)
