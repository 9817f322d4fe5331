"""All HTTP routes of monitoring: health, and what is measured."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.monitoring import api, metrics_api

router = APIRouter()
for part in (api, metrics_api):
    router.include_router(part.router)
