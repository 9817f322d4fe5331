"""All console pages of the chapter."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.debugging.checkins.pages import router as check_ins
from opsbook.debugging.errors.decision_pages import router as error_decisions
from opsbook.debugging.errors.event_pages import router as error_events
from opsbook.debugging.errors.issue_pages import router as error_issues
from opsbook.debugging.errors.list_pages import router as errors
from opsbook.debugging.logs.pages import router as logs
from opsbook.debugging.users.pages import router as users

router = APIRouter()
router.include_router(errors)
router.include_router(error_issues)
router.include_router(error_decisions)
router.include_router(error_events)
router.include_router(logs)
router.include_router(check_ins)
router.include_router(users)
