"""What surrounds every page: the navigation made of the runbook's chapters, the person, the state of health."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opsbook.core.runtime import Runtime

Standing = Literal["ok", "degraded", "down", "unknown"]

THEME_COOKIE = "opsbook-theme"
THEMES = ("light", "dark")

_ICONS = frozenset(
    {"access", "audit", "database", "debugging", "deployment", "flags", "incidents", "maintenance"}
    | {"monitoring", "performance", "recovery", "runbook", "secrets"}
)
_SHORT_TITLES = {
    "monitoring": "Overview",
    "database": "Database",
    "flags": "Feature flags",
    "performance": "Performance",
    "access": "Access",
}

_standing_sources: list[Callable[[Runtime], Standing]] = []


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of the navigation; `key` is the letter that follows `g`."""

    title: str
    path: str
    icon: str
    key: str
    current: bool


def standing_source(source: Callable[[Runtime], Standing]) -> Callable[[Runtime], Standing]:
    """Register the function that tells the overall health from memory; the frame itself knows no checks."""
    _standing_sources.append(source)
    return source


def standing(runtime: Runtime) -> Standing:
    """The overall health as last known, never computed now."""
    return _standing_sources[-1](runtime) if _standing_sources else "unknown"


def navigation(runtime: Runtime, path: str) -> list[Destination]:
    """The chapters that have a page, in the runbook's order, then the audit, which belongs to all of them."""
    entries = [
        (_SHORT_TITLES.get(chapter.name, chapter.title), _console_path(chapter.page), chapter.name)
        for chapter in runtime.chapters
        if chapter.page is not None
    ]
    entries.append(("Audit", "/ops/audit", "audit"))
    further = {_console_path(page): chapter.name for chapter in runtime.chapters for page in chapter.further_pages}
    owners = {target: name for _, target, name in entries} | further
    here = owners.get(max((place for place in owners if _lies_under(path, place)), key=len, default=""))
    keys: set[str] = set()
    return [
        Destination(title, target, name if name in _ICONS else "runbook", _free_letter(title, keys), name == here)
        for title, target, name in entries
    ]


def _console_path(page: str) -> str:
    below = page.removeprefix("/ops").strip("/")
    return f"/ops/{below}" if below else "/ops"


def _lies_under(path: str, target: str) -> bool:
    return path.rstrip("/") == target or (target != "/ops" and path.startswith(f"{target}/"))


def _free_letter(title: str, taken: set[str]) -> str:
    """The title's first letter that no earlier entry uses, so that `g` and it lead here."""
    letter = next((each for each in title.lower() if each.isalpha() and each not in taken), "")
    taken.add(letter)
    return letter
