"""The editors of a flag's variants and prerequisites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import FormData

from opsbook.core.access import Identity
from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.http.fields import parse_number
from opsbook.core.runtime import runtime_of
from opsbook.flags import store
from opsbook.flags.model import Flag
from opsbook.flags.page_parts import Name, back_to, pulling, revision_seen
from opsbook.flags.targeting.model import ValueType
from opsbook.flags.variant_form import PrerequisiteRow, VariantRow, prerequisite_rows, variant_rows
from opsbook.web.forms import Checked, Operator
from opsbook.web.templates import render

router = APIRouter()

_TYPES: Sequence[str] = get_args(ValueType)


@router.get("/flags/{name}/variants")
async def variants_page(request: Request, operator: Operator, name: Name) -> HTMLResponse:
    """The values that a flag may have, to be changed."""
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    return await _variants(request, operator, flag, [VariantRow.of(each) for each in flag.variants], flag.value_type)


@router.post("/flags/{name}/variants", dependencies=Checked)
async def change_variants(request: Request, operator: Operator, name: Name) -> Response:
    """Save the variants together with their type, or give the form room for one more."""
    form = await request.form()
    rows, value_type = variant_rows(form), str(form.get("value_type", ""))
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    if form.get("do") == "more":
        return await _variants(request, operator, flag, [*rows, VariantRow()], value_type)
    try:
        return await _save(request, operator, flag, form, _variant_fields(form, rows))
    except OpsbookError as error:
        return await _variants(request, operator, flag, rows, value_type, error)


@router.get("/flags/{name}/prerequisites")
async def prerequisites_page(request: Request, operator: Operator, name: Name) -> HTMLResponse:
    """What other flags must be, to be changed."""
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    rows = [PrerequisiteRow.of(each) for each in flag.prerequisites]
    return await _prerequisites(request, operator, flag, rows)


@router.post("/flags/{name}/prerequisites", dependencies=Checked)
async def change_prerequisites(request: Request, operator: Operator, name: Name) -> Response:
    """Save the prerequisites, or give the form room for one more."""
    form = await request.form()
    rows = prerequisite_rows(form)
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    if form.get("do") == "more":
        return await _prerequisites(request, operator, flag, [*rows, PrerequisiteRow()])
    try:
        fields = {"prerequisites": [row.prerequisite() for row in rows]}
        return await _save(request, operator, flag, form, fields)
    except OpsbookError as error:
        return await _prerequisites(request, operator, flag, rows, error)


def _variant_fields(form: FormData, rows: Sequence[VariantRow]) -> Mapping[str, Any]:
    value_type = str(form.get("value_type", ""))
    if value_type not in _TYPES:
        raise Invalid(f"a value is one of {', '.join(_TYPES)}")
    variants = [row.variant(value_type) for row in rows]  # pyright: ignore[reportArgumentType] - checked above
    if variants and (stickiness := str(form.get("stickiness", "")).strip()):
        variants[0]["stickiness"] = stickiness
    return {"value_type": value_type, "variants": variants}


async def _save(
    request: Request, operator: Identity, flag: Flag, form: FormData, fields: Mapping[str, Any]
) -> Response:
    seen = await revision_seen(request, flag.revision)
    async with pulling(request, operator, str(form.get("reason", ""))) as connection:
        changed = await store.change_flag(connection, flag.name, fields, expected_revision=parse_number(seen))
    return back_to({}, flag.name, changed.revision)


async def _variants(
    request: Request,
    operator: Identity,
    flag: Flag,
    rows: Sequence[VariantRow],
    value_type: str,
    error: OpsbookError | None = None,
) -> HTMLResponse:
    return render(
        request,
        "flags/variants.html",
        operator,
        status=error.status if error else 200,
        flag=flag,
        rows=rows or [VariantRow(), VariantRow()],
        value_type=value_type,
        types=_TYPES,
        stickiness=(flag.variants[0].stickiness or "") if flag.variants else "",
        revision=await revision_seen(request, flag.revision),
        error=str(error) if error else None,
    )


async def _prerequisites(
    request: Request,
    operator: Identity,
    flag: Flag,
    rows: Sequence[PrerequisiteRow],
    error: OpsbookError | None = None,
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        others = [each.name for each in await store.list_flags(connection) if each.name != flag.name]
    return render(
        request,
        "flags/prerequisites.html",
        operator,
        status=error.status if error else 200,
        flag=flag,
        rows=rows or [PrerequisiteRow()],
        others=others,
        revision=await revision_seen(request, flag.revision),
        error=str(error) if error else None,
    )
