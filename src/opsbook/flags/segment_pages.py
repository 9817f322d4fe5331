"""Segments: conditions under a name, shared between flags; listed, edited, and who uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.http.fields import parse_number
from opsbook.core.runtime import runtime_of
from opsbook.flags import segment_store as store
from opsbook.flags.fields import SegmentFields
from opsbook.flags.form import read_segment
from opsbook.flags.model import segment_from
from opsbook.flags.page_parts import LIST, Name, pulling
from opsbook.flags.rule_form import ConditionRow, constraints_of, rows_of, rows_sent
from opsbook.flags.targeting.operators import OPERATORS
from opsbook.flags.wording import condition_in_words
from opsbook.web.forms import Checked, Operator, Viewer
from opsbook.web.templates import render

_SEGMENTS = f"{LIST}/-/segments"
_NEW = {"name": "", "description": "", "used_by": (), "revision": store.NOT_THERE}

router = APIRouter()


@router.get("/flags/-/segments")
async def list_page(request: Request, viewer: Viewer, changed: str = "") -> HTMLResponse:
    """Every segment, with its conditions and the flags that use it."""
    async with runtime_of(request).pool.connection() as connection:
        segments = await store.list_segments(connection)
    return render(
        request,
        "flags/segments.html",
        viewer,
        segments=[{**each, "words": _words(each)} for each in segments],
        changed=changed,
        may_change=viewer.may(Role.OPERATOR),
    )


@router.get("/flags/-/new-segment")
async def new_page(request: Request, operator: Operator) -> HTMLResponse:
    """The form of a new segment."""
    return _page(request, operator, _NEW, [ConditionRow()], is_new=True)


@router.post("/flags/-/new-segment", dependencies=Checked)
async def create(request: Request, operator: Operator) -> Response:
    """Create a segment."""
    return await _put(request, operator, str((await request.form()).get("name", "")), is_new=True)


@router.get("/flags/-/segments/{name}")
async def segment_page(request: Request, operator: Operator, name: Name) -> HTMLResponse:
    """One segment, to be changed or deleted."""
    async with runtime_of(request).pool.connection() as connection:
        segment = await store.get_segment(connection, name)
    return _page(request, operator, segment, rows_of(segment_from(segment).constraints))


@router.post("/flags/-/segments/{name}", dependencies=Checked)
async def change(request: Request, operator: Operator, name: Name) -> Response:
    """Change a segment, delete it, or give the form room for one more condition."""
    return await _put(request, operator, name, is_new=False)


async def _put(request: Request, operator: Identity, name: str, *, is_new: bool) -> Response:
    form = await request.form()
    rows, description = rows_sent(form), str(form.get("description", ""))
    async with runtime_of(request).pool.connection() as connection:
        held = next((each for each in await store.list_segments(connection) if each["name"] == name), _NEW)
    # A form that comes back still stands for the state that was seen.
    seen = store.NOT_THERE if is_new else str(form.get("revision", "")) or held["revision"]
    shown = {"name": name, "description": description, "used_by": held["used_by"], "revision": seen}
    if form.get("do") == "more":
        return _page(request, operator, shown, [*rows, ConditionRow()], is_new=is_new)
    try:
        if is_new and held is not _NEW:
            raise Invalid(f"there is a segment {name!r} already")
        given = read_segment(name, description, constraints_of(rows), str(form.get("reason", "")))
        await _do(request, operator, name, given, parse_number(str(seen)), delete=form.get("do") == "delete")
    except OpsbookError as error:
        return _page(request, operator, shown, rows, is_new=is_new, error=error)
    return RedirectResponse(f"{_SEGMENTS}?changed={quote(name)}", 303)


async def _do(
    request: Request, operator: Identity, name: str, given: SegmentFields, seen: int | None, *, delete: bool
) -> None:
    async with pulling(request, operator, given.reason) as connection:
        if delete:
            await store.delete_segment(connection, name, expected_revision=seen)
        else:
            await store.put_segment(connection, name, given.constraints, given.description, expected_revision=seen)


def _page(
    request: Request,
    operator: Identity,
    segment: Mapping[str, Any],
    rows: Sequence[ConditionRow],
    *,
    is_new: bool = False,
    error: OpsbookError | None = None,
) -> HTMLResponse:
    return render(
        request,
        "flags/segment.html",
        operator,
        status=error.status if error else 200,
        segment=segment,
        rows=rows,
        operators=list(OPERATORS),
        is_new=is_new,
        error=str(error) if error else None,
    )


def _words(segment: DictRow) -> Sequence[str]:
    return [condition_in_words(constraint) for constraint in segment_from(segment).constraints]
