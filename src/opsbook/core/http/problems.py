"""Errors as RFC 9457 problem details: what happened, to what, what to do, and the request's id.

Nothing of an unexpected error reaches the caller but its id, under which the log has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any, Literal, cast

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from opsbook.core.database_errors import explain
from opsbook.core.errors import OpsbookError, TooManyRequests, Unavailable
from opsbook.core.log import get_logger

log = get_logger("opsbook.http")

_RETRY_SECONDS = 2


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    request_id: str | None
    errors: list[dict[str, str]] = []
    """Of malformed input: each place (`pointer`) and what is wrong there (`detail`)."""


class ProblemResponse(JSONResponse):
    """A JSON body of media type application/problem+json."""

    media_type = "application/problem+json"


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declares in OpenAPI the errors that a router's routes answer with."""
    content = {ProblemResponse.media_type: {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem_response(
    status: int,
    title: str,
    detail: str,
    request_id: str | None,
    *,
    headers: Mapping[str, str] | None = None,
    **extensions: object,
) -> ProblemResponse:
    """A problem of type about:blank, whose title says the kind and whose detail this occurrence."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "request_id": request_id}
    return ProblemResponse({**body, **extensions}, status, headers={"Cache-Control": "no-store", **(headers or {})})


def install_problems(app: FastAPI) -> None:
    """Answer every error of the app's routes with a problem."""
    app.add_exception_handler(OpsbookError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(psycopg.Error, _database)
    app.add_exception_handler(PoolTimeout, _timeout)
    app.add_exception_handler(TimeoutError, _timeout)
    app.add_exception_handler(Exception, _unexpected)


def _id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, OpsbookError)
    headers: dict[str, str] = {}
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_SECONDS)
    return problem_response(error.status, error.title, str(error), _id(request), headers=headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code < HTTPStatus.BAD_REQUEST:
        return Response(status_code=error.status_code, headers=error.headers)
    title = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem_response(error.status_code, title, str(error.detail), _id(request), headers=headers)


def _methods(request: Request) -> set[str]:
    """Every method that the path has (RFC 9110, 15.5.6); Starlette names those of its first route alone."""
    scopes = ({**request.scope, "method": method} for method in HTTPMethod)
    return {
        scope["method"].value
        for scope in scopes
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    }


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"pointer": _pointer(item["loc"]), "detail": item["msg"]}
        for item in cast("Sequence[Mapping[str, Any]]", error.errors())
    ]
    detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors[:5])
    return problem_response(422, "Invalid input", detail, _id(request), errors=errors[:50])


def _pointer(location: Sequence[object]) -> str:
    where, *rest = location
    path = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in rest)
    return f"#/{path}" if where == "body" else f"{where}/{path}"


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, psycopg.Error)
    told = explain(error)
    if told is None:
        return await _unexpected(request, error)
    if isinstance(told, Unavailable):
        log.warning("ops_database_unavailable", error=type(error).__name__)
    return await _ours(request, told)


async def _timeout(request: Request, error: Exception) -> Response:
    log.warning("ops_database_unavailable", error=type(error).__name__)
    return await _ours(request, Unavailable("the ops database does not answer; `opsbook health` says more"))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected_error", path=request.url.path, exc_info=error)
    detail = "something went wrong on our side; the log has more under this request id"
    return problem_response(500, "Internal error", detail, _id(request))
