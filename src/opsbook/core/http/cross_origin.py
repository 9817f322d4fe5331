"""Opens some paths to browsers of any origin, and no others. Pure ASGI.

Nothing there heeds a cookie: who asks has a token of its own, so its page's origin says nothing.
"""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_PREFLIGHT_SECONDS = 7200
"""As long as Chromium remembers an answer to a preflight; Firefox would a day."""


class CrossOrigin:
    """Wraps an ASGI app; answers preflights for `paths`, which are beginnings, before anything else looks at them."""

    def __init__(self, app: ASGIApp, paths: tuple[str, ...]) -> None:
        self._app = app
        self._paths = paths
        self._opened = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["ETag", "Retry-After", "X-Request-ID"],
            max_age=_PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "http" and scope["path"].startswith(self._paths)
        await (self._opened if is_open else self._app)(scope, receive, send)
