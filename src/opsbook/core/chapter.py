"""What a chapter of the runbook declares about itself, so that the frame can find its rooms.

Everything is named by its import path and loaded when first used: listing the
chapters costs nothing, and `opsbook flags --help` never imports the recovery code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import APIRouter

    from opsbook.core.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the command line: where its Typer app or function lives, and its one-line help."""

    target: str
    help: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter: one folder, one command group, one set of routes, one page of the console."""

    name: str
    """The folder's name under `opsbook/`, and the last part of the console's path."""
    title: str
    """As the runbook's table of contents has it."""
    commands: Mapping[str, Command] = field(default_factory=dict)
    """Command or group name as typed after `opsbook`, to its target (`module:attribute`)."""
    api: str | None = None
    """`module:router` of the HTTP routes."""
    pages: str | None = None
    """`module:router` of the console pages, mounted under `/ops`."""
    page: str | None = None
    """Path of the chapter's first console page below `/ops`, as the navigation links it."""
    further_pages: tuple[str, ...] = ()
    """Paths of its other pages below `/ops`, so that the navigation knows whose they are."""
    running: str | None = None
    """`module:function` taking the Runtime and giving an async context: what lives while the server does."""
    jobs: str | None = None
    """`module:blueprint` of the procrastinate tasks."""

    def router(self) -> APIRouter | None:
        return _load(self.api)

    def pages_router(self) -> APIRouter | None:
        return _load(self.pages)

    def lifespan(self) -> Callable[[Runtime], AbstractAsyncContextManager[None]] | None:
        return _load(self.running)

    def blueprint(self) -> Any:
        return _load(self.jobs)

    @property
    def folder(self) -> Path:
        return Path(str(resources.files("opsbook") / self.name))

    def schema_files(self) -> Sequence[Path]:
        """The chapter's tables in the ops database, in the order in which they are applied."""
        return sorted((self.folder / "schema").glob("[0-9][0-9][0-9][0-9]_*.sql"))


def load(target: str) -> Any:
    """The object that `module:attribute` names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _load(target: str | None) -> Any:
    return load(target) if target else None
