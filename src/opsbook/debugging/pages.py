"""All console pages of the chapter."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.debugging.logs.pages import router as logs

router = APIRouter()
router.include_router(logs)
