"""The rule editor: whom a flag is on for besides those inside its rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from opsbook.core.access import Identity
from opsbook.core.errors import Conflict, NotFound, OpsbookError
from opsbook.core.http.fields import parse_number
from opsbook.core.runtime import runtime_of
from opsbook.flags import segment_store, store
from opsbook.flags.flag_pages import show_flag
from opsbook.flags.model import Flag
from opsbook.flags.page_parts import Name, back_to, pulling, revision_seen
from opsbook.flags.rule_form import RuleForm
from opsbook.flags.targeting.model import Rule
from opsbook.flags.targeting.operators import OPERATORS
from opsbook.flags.variant_form import VariantRow
from opsbook.web.forms import Checked, Operator, texts_of
from opsbook.web.templates import render

router = APIRouter()

Place = Annotated[str, Path(pattern="^(new|[1-9][0-9]{0,3})$")]
"""A rule's, counted from 1, or that of one to come."""


@router.get("/flags/{name}/rules/{place}")
async def rule_page(request: Request, operator: Operator, name: Name, place: Place) -> HTMLResponse:
    """One rule with its conditions, to be changed or removed."""
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    held = _held(flag, place)
    return await _page(request, operator, flag, place, RuleForm.of(held) if held else RuleForm())


@router.post("/flags/{name}/rules/{place}", dependencies=Checked)
async def change_rule(request: Request, operator: Operator, name: Name, place: Place) -> Response:
    """Save the rule, remove it, or give the form room for one more condition or variant."""
    form = await request.form()
    sent = RuleForm.sent(form)
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    if str(form.get("do", "")).startswith("more"):
        return await _page(request, operator, flag, place, sent.with_blank_row(str(form["do"])))
    try:
        seen = await revision_seen(request, flag.revision)
        rules = _changed(flag, place, sent, remove=form.get("do") == "remove")
        async with pulling(request, operator, str(form.get("reason", ""))) as connection:
            changed = await store.change_flag(connection, name, {"rules": rules}, expected_revision=parse_number(seen))
    except OpsbookError as error:
        return await _page(request, operator, flag, place, sent, error)
    return back_to({}, name, changed.revision)


@router.post("/flags/{name}/rules/{place}/move", dependencies=Checked)
async def move_rule(request: Request, operator: Operator, name: Name, place: Place) -> Response:
    """Move a rule one place up or down; of several that admit somebody the first decides as which variant."""
    form = await texts_of(request)
    try:
        async with pulling(request, operator, None) as connection:
            flag = await store.get_flag(connection, name)
            rules = _moved(flag, place, up=form.get("do") == "up")
            seen = parse_number(form.get("revision", "")) or flag.revision
            changed = await store.change_flag(connection, name, {"rules": rules}, expected_revision=seen)
    except OpsbookError as error:
        return await show_flag(request, operator, name, status=error.status, error=str(error))
    return back_to({}, name, changed.revision)


def _moved(flag: Flag, place: str, *, up: bool) -> Sequence[Any]:
    _held(flag, place)
    rules = msgspec.to_builtins(flag.rules)
    at = len(rules) if place == "new" else int(place) - 1
    to = at - 1 if up else at + 1
    if not (0 <= at < len(rules) and 0 <= to < len(rules)):
        raise Conflict(f"{flag.name!r} has no rule there to change places with; look at its rules again")
    rules[at], rules[to] = rules[to], rules[at]
    return rules


def _held(flag: Flag, place: str) -> Rule | None:
    if place == "new":
        return None
    if int(place) > len(flag.rules):
        raise NotFound(f"{flag.name!r} has no rule {place}; somebody may have removed it")
    return flag.rules[int(place) - 1]


def _changed(flag: Flag, place: str, sent: RuleForm, *, remove: bool) -> Sequence[Any]:
    held = _held(flag, place)
    rules = msgspec.to_builtins(flag.rules)
    if held is None:
        return [*rules, sent.rule(None, flag.value_type)]
    rules[int(place) - 1 : int(place)] = [] if remove else [sent.rule(held, flag.value_type)]
    return rules


async def _page(
    request: Request, operator: Identity, flag: Flag, place: str, form: RuleForm, error: OpsbookError | None = None
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        segments = await segment_store.list_segments(connection)
    return render(
        request,
        "flags/rule.html",
        operator,
        status=error.status if error else 200,
        flag=flag,
        place=place,
        form=form,
        blank_variant=VariantRow(),
        segments=segments,
        operators=list(OPERATORS),
        revision=await revision_seen(request, flag.revision),
        error=str(error) if error else None,
    )
