"""Shows errors of the console as pages, where the API shows the same errors as problem details."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi import FastAPI, Request
from starlette.responses import Response

from opsbook.core.http.problems import ProblemResponse
from opsbook.web.templates import HEADERS, render

Handler = Callable[[Request, Exception], Awaitable[Response]]


def install_error_pages(app: FastAPI) -> None:
    """Wrap the app's exception handlers, so that a browser under /ops reads a page. Call it after they are set."""
    for kind, handler in tuple(app.exception_handlers.items()):
        app.add_exception_handler(kind, _as_page(cast("Handler", handler)))


def _as_page(handler: Handler) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        response = await handler(request, error)
        if not isinstance(response, ProblemResponse) or not _wants_page(request):
            return response
        problem: dict[str, Any] = json.loads(bytes(response.body))
        page = render(request, "web/problem.html", status=response.status_code, problem=problem)
        kept = ("retry-after", "x-request-id")
        page.headers.update({name: value for name, value in response.headers.items() if name in kept} | HEADERS)
        return page

    return answer


def _wants_page(request: Request) -> bool:
    below = request.url.path == "/ops" or request.url.path.startswith("/ops/")
    return below and "text/html" in request.headers.get("accept", "")
