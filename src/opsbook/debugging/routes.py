"""All HTTP routes of the chapter."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.debugging.intake.api import router as intake

router = APIRouter()
router.include_router(intake)
