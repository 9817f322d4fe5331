"""Errors as problem details (RFC 9457), the same form whatever went wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy import exc
from starlette.exceptions import HTTPException

from backend.passwords import BusyError

MEDIA_TYPE = "application/problem+json"
_SHOWN_ERRORS = 20
_RETRY = {"retry-after": "1"}


class Problem(Exception):
    """An answer other than the one asked for."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object) -> Response:
    """The response for a problem. Escaped to ASCII, because a client may have sent text that UTF-8 cannot hold."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Those problems for a router's OpenAPI description."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}, "detail": {"type": "string"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def handle_problems(app: FastAPI) -> None:
    """Answer every error that the app may meet with a problem."""
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)


def _raised(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error.status, error.detail, error.headers)


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), error.headers)


def _invalid(_: Request, error: Exception) -> Response:
    """Which fields are wrong and why; never the values, which may be passwords."""
    assert isinstance(error, RequestValidationError)
    errors = [{"field": list(one["loc"]), "message": one["msg"]} for one in error.errors()[:_SHOWN_ERRORS]]
    return problem(422, "The request is not valid; `errors` says where.", errors=errors)


def _not_storable(_: Request, __: Exception) -> Response:
    return problem(422, "A value cannot be stored.")


def _gone(_: Request, __: Exception) -> Response:
    return problem(409, "What this refers to has changed or is gone; read it again.")


def _exhausted(_: Request, __: Exception) -> Response:
    return problem(503, "All database connections are in use; try again shortly.", _RETRY)


def _unavailable(_: Request, __: Exception) -> Response:
    return problem(503, "The database cannot answer now; try again shortly.", _RETRY)


def _busy(_: Request, __: Exception) -> Response:
    return problem(503, "Too many people are signing in; try again shortly.", _RETRY)


def _broken(_: Request, __: Exception) -> Response:
    return problem(500, "Something went wrong here.")


_HANDLERS = {
    Problem: _raised,
    HTTPException: _http,
    RequestValidationError: _invalid,
    exc.DataError: _not_storable,
    exc.IntegrityError: _gone,
    exc.TimeoutError: _exhausted,
    exc.OperationalError: _unavailable,
    exc.InterfaceError: _unavailable,
    BusyError: _busy,
    Exception: _broken,
}
