"""All HTTP routes of the chapter."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.debugging.checkins.api import router as check_ins
from opsbook.debugging.logs.api import router as logs

router = APIRouter()
router.include_router(check_ins)
router.include_router(logs)
