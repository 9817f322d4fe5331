"""Turns a chapter's template and a page's values into a response: one environment, one set of headers.

`flags/list.html` is `flags/pages/list.html` in the package; `web/layout.html` is the frame's own.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FunctionLoader, StrictUndefined

from opsbook.core.http.identity import csrf_token
from opsbook.core.runtime import runtime_of
from opsbook.web import display
from opsbook.web.assets import asset_url
from opsbook.web.frame import THEME_COOKIE, THEMES, navigation, standing

if TYPE_CHECKING:
    from opsbook.core.access import Identity

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing from another host, nothing inline, never framed (CSP level 3); pages hold secrets of the day, so no store."""


def render(
    request: Request, template: str, identity: Identity | None = None, *, status: int = 200, **context: object
) -> HTMLResponse:
    """A page inside the console's frame, as the given person sees it.

    Raises:
        jinja2.UndefinedError: The template names a value that was not given.
    """
    runtime = runtime_of(request)
    theme = request.cookies.get(THEME_COOKIE)
    page = _environment().get_template(template)
    html = page.render(
        request=request,
        identity=identity,
        environment=runtime.settings.environment,
        navigation=navigation(runtime, request.url.path) if identity else [],
        standing=standing(runtime),
        theme=theme if theme in THEMES else None,
        csrf=csrf_token(request),
        **context,
    )
    return HTMLResponse(html, status, HEADERS)


def render_part(template: str, **context: object) -> str:
    """A part of a page by itself, such as rows that are added to a table.

    Raises:
        jinja2.UndefinedError: The template names a value that was not given.
    """
    return _environment().get_template(template).render(**context)


def with_query(request: Request, **changes: object) -> str:
    """The address of this page with some query parameters changed, or dropped where the new value is None."""
    kept = {name: value for name, value in request.query_params.items() if name not in changes}
    query = urlencode(kept | {name: value for name, value in changes.items() if value is not None})
    return f"{request.url.path}?{query}" if query else request.url.path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = (display.ago, display.browser, display.duration, display.percent, display.plain, display.size)
    functions: dict[str, Any] = {
        function.__name__: function for function in (asset_url, display.differences, with_query)
    }
    environment.filters.update({function.__name__: function for function in filters})
    environment.globals.update(functions)
    return environment


def _source(template: str) -> str | None:
    folder, _, name = template.partition("/")
    file = resources.files("opsbook") / folder / "pages" / name
    return file.read_text(encoding="utf-8") if file.is_file() else None
