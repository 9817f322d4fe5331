"""CORS for SDKs in browsers: any origin may send, as with Sentry's own Relay; nothing is readable but limits."""

from __future__ import annotations

from typing import Final

RESPONSE_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "x-sentry-error,x-sentry-rate-limits,retry-after",
}
"""On every answer of an intake route, errors included: without them a browser hides the answer."""

PREFLIGHT_HEADERS: Final = {
    **RESPONSE_HEADERS,
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": (
        "x-sentry-auth,x-requested-with,x-forwarded-for,origin,referer,accept,content-type,"
        "authentication,authorization,content-encoding,transfer-encoding"
    ),
    "Access-Control-Max-Age": "3600",
}
"""On the answer to OPTIONS."""
