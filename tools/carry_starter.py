"""Build hook: the wheel carries what `opsbook init` writes; an editable install reads it from the checkout."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STARTER = ("backend", "supabase", "RUNBOOK.md", ".env.example")


class CarryStarter(BuildHookInterface[Any]):
    """Adds the starter's files to a standard wheel, under `opsbook/starter/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"].update({name: f"opsbook/starter/{name}" for name in STARTER})
