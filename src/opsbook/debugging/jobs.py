"""What the worker does for the chapter."""

from __future__ import annotations

from procrastinate import Blueprint

from opsbook.debugging.checkins.jobs import blueprint as check_ins
from opsbook.debugging.errors.jobs import blueprint as errors
from opsbook.debugging.logs.jobs import blueprint as logs
from opsbook.debugging.sourcemaps.jobs import blueprint as source_maps

blueprint = Blueprint()
blueprint.add_tasks_from(logs, namespace="logs")
blueprint.add_tasks_from(errors, namespace="errors")
blueprint.add_tasks_from(check_ins, namespace="check_ins")
blueprint.add_tasks_from(source_maps, namespace="sourcemaps")
