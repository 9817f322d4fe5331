"""Dependencies that routes of every chapter share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from opsbook.core.runtime import Runtime, runtime_of


async def _runtime(request: Request) -> Runtime:
    # A coroutine, because FastAPI would run a plain function in a thread, for each request.
    return runtime_of(request)


Running = Annotated[Runtime, Depends(_runtime)]
"""The runtime that serves the request."""
