"""All HTTP routes of the chapter."""

from __future__ import annotations

from fastapi import APIRouter

from opsbook.debugging.checkins.api import router as check_ins
from opsbook.debugging.errors.api import router as errors
from opsbook.debugging.errors.projects_api import router as error_projects
from opsbook.debugging.logs.api import router as logs
from opsbook.debugging.sourcemaps.api import router as source_maps
from opsbook.debugging.sourcemaps.releases_api import router as releases
from opsbook.debugging.users.api import router as users

router = APIRouter()
router.include_router(check_ins)
router.include_router(errors)
router.include_router(error_projects)
router.include_router(logs)
router.include_router(source_maps)
router.include_router(releases)
router.include_router(users)
