"""Reading errors by command: list, show, events, event, export."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final, get_args
from uuid import UUID

import typer
from psycopg.rows import DictRow

from opsbook.core.console import JsonOption, cell, out, parse_duration, print_json, print_table
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import read
from opsbook.core.spreadsheet import csv_lines
from opsbook.debugging.errors.events import EventDetail, get_event
from opsbook.debugging.errors.issues import IssueDetail, describe_issue
from opsbook.debugging.errors.search import (
    MOST_ROWS,
    EventFilter,
    IssueFilter,
    Page,
    Place,
    Status,
    find_events,
    find_issues,
)
from opsbook.debugging.logs.terminal import harmless
from opsbook.debugging.protocol.identifiers import event_id as read_event_id

app = typer.Typer()

ProjectOption = Annotated[int | None, typer.Option(help="Only of the project of that number.", min=1)]
EndpointOption = Annotated[str | None, typer.Option(help="Only at this endpoint, as /orders/{order_id}.")]
UserOption = Annotated[str | None, typer.Option(help="Only met by this user.")]
ReleaseOption = Annotated[str | None, typer.Option(help="Only of this release.")]
EnvironmentOption = Annotated[str | None, typer.Option(help="Only of this environment.")]
LevelOption = Annotated[str | None, typer.Option(help="Only of this level.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="Only with this tag, as plan=pro.")]
TextOption = Annotated[str | None, typer.Option(help="Only with this in the message.")]
SinceOption = Annotated[str | None, typer.Option(help="Only of the last 15m, 2h, 7d …")]
LimitOption = Annotated[int, typer.Option(min=1, max=MOST_ROWS)]
Number = Annotated[int, typer.Argument(help="The issue's number.", min=1, max=2**63 - 1)]

_STATUSES: Final[dict[str, Status]] = {name: name for name in get_args(Status)}
EXPORTED: Final = (
    *("event_id", "issue_id", "occurred_at", "level", "environment", "release", "endpoint", "user_id"),
    *("trace_id", "message", "stands_for"),
)


@app.command("list")
def list_issues(
    status: Annotated[str, typer.Option(help="unresolved, regressed, resolved, ignored, or all.")] = "unresolved",
    project: ProjectOption = None,
    endpoint: EndpointOption = None,
    user: UserOption = None,
    release: ReleaseOption = None,
    environment: EnvironmentOption = None,
    level: LevelOption = None,
    tag: TagOption = None,
    text: TextOption = None,
    since: SinceOption = None,
    assignee: Annotated[str | None, typer.Option(help="Only those that this person looks after.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List issues, the one seen last first.

    Example: opsbook errors list --endpoint /orders/{order_id} --since 24h
    """
    asked = EventFilter(
        project, None, _ago(since), None, endpoint, user, release, environment, level, None, _tags(tag), text
    )
    wanted = IssueFilter(_status(status), assignee, asked)
    page = read(lambda connection: find_issues(connection, wanted, limit=limit))
    if as_json:
        print_json(page.rows)
        return
    print_table(
        ("issue", "what", "where", "level", "status", "events", "people", "last seen"),
        [
            (
                r["id"],
                _shown(r["title"], 70),
                _shown(r["culprit"], 50),
                r["level"],
                _state(r),
                r["events"],
                r["people"],
                r["last_seen"],
            )
            for r in page.rows
        ],
        "No such errors. Point an SDK here: opsbook errors key list",
    )


@app.command()
def show(issue: Number, as_json: JsonOption = False) -> None:
    """Show an issue: its groups, where and whom it met, what was written about it, its newest event.

    Example: opsbook errors show 17
    """
    detail = read(lambda connection: describe_issue(connection, issue))
    if as_json:
        print_json(asdict(detail))
        return
    for line in _issue_lines(detail):
        out.print(line, markup=False, soft_wrap=True)
    newest = read(lambda connection: find_events(connection, EventFilter(issue=detail.issue["id"]), limit=1))
    if newest.rows:
        event_id: UUID = newest.rows[0]["event_id"]
        out.print(f"newest event: opsbook errors event {event_id.hex}", markup=False)


@app.command("events")
def list_events(
    issue: Annotated[int | None, typer.Option(help="Only of this issue.", min=1)] = None,
    project: ProjectOption = None,
    endpoint: EndpointOption = None,
    user: UserOption = None,
    release: ReleaseOption = None,
    environment: EnvironmentOption = None,
    level: LevelOption = None,
    tag: TagOption = None,
    text: TextOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    csv: Annotated[bool, typer.Option("--csv", help="Print all that match as CSV for a spreadsheet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first.

    Example: opsbook errors events --user 42 --since 7d
    """
    wanted = EventFilter(
        project, issue, _ago(since), None, endpoint, user, release, environment, level, None, _tags(tag), text
    )
    if csv:
        _export(wanted)
        return
    rows = read(lambda connection: find_events(connection, wanted, limit=limit)).rows
    if as_json:
        print_json(rows)
        return
    print_table(
        ("event", "issue", "when", "level", "endpoint", "user", "what"),
        [
            (
                r["event_id"].hex,
                r["issue_id"],
                r["occurred_at"],
                r["level"],
                _shown(r["endpoint"], 40),
                _shown(r["user_id"], 40),
                _shown(r["message"], 70),
            )
            for r in rows
        ],
        "No such events.",
    )


@app.command("event")
def show_event(
    event: Annotated[str, typer.Argument(help="The event's id, as the SDK gave it.")], as_json: JsonOption = False
) -> None:
    """Show an event: its exceptions with their stacks, its request, user and tags.

    Example: opsbook errors event 0123456789abcdef0123456789abcdef
    """
    identifier = read_event_id(event)
    if identifier is None:
        raise Invalid(f"{event[:40]!r} is no event's id: it has 32 hexadecimal digits")
    detail = read(lambda connection: get_event(connection, UUID(identifier)))
    if as_json:
        print_json({**asdict(detail), "row": {**detail.row}})
        return
    for line in _event_lines(detail):
        out.print(harmless(line), markup=False, soft_wrap=True)


def _export(wanted: EventFilter) -> None:
    sys.stdout.write(csv_lines([EXPORTED]).decode())
    place: Place | None = None
    while True:
        page: Page = read(lambda connection, after=place: find_events(connection, wanted, limit=MOST_ROWS, after=after))
        sys.stdout.write(csv_lines([row[name] for name in EXPORTED] for row in page.rows).decode())
        if page.next is None:
            return
        place = page.next


def _issue_lines(detail: IssueDetail) -> Iterator[str]:
    issue = detail.issue
    yield harmless(f"{issue['title']}")
    yield harmless(f"in {issue['culprit'] or '?'}; {issue['level']}, {_state(issue)}, project {issue['project']}")
    seen = f"{cell(issue['first_seen'])} to {cell(issue['last_seen'])}"
    yield f"{issue['events']} events, {issue['people']} people, {seen}"
    yield harmless(f"assigned to {issue['assignee'] or 'nobody'}")
    for group in detail.groups:
        parts = " · ".join(str(text) for _, text in group["parts"])
        yield harmless(f"  group {group['id']}: {group['events']} events; {parts}"[:400])
    for name in dict.fromkeys(row["field"] for row in detail.values):
        values = [f"{row['value']} ({row['events']})" for row in detail.values if row["field"] == name]
        yield harmless(f"  {name}: {', '.join(values[:5])}")
    for comment in detail.comments:
        yield harmless(f"  {cell(comment['created_at'])} {comment['actor']}: {comment['text']}")


def _event_lines(detail: EventDetail) -> Iterator[str]:
    row, document = detail.row, detail.document
    yield f"{row['event_id'].hex} of issue {row['issue_id']}, {cell(row['occurred_at'])}"
    yield row["message"]
    for exception in reversed(_objects(document, "exception")):
        yield f"{exception.get('type') or '?'}: {exception.get('value') or ''}"
        for frame in (exception.get("stacktrace") or {}).get("frames") or ():
            place = frame.get("filename") or frame.get("module") or "?"
            yield f"  {place}:{frame.get('lineno') or '?'} in {frame.get('function') or '?'}"
            if frame.get("context_line"):
                yield f"    {frame['context_line'].strip()}"
    request = document.get("request") or {}
    if request:
        yield f"request: {request.get('method') or ''} {request.get('url') or ''}"
    for name in ("endpoint", "user_id", "release", "environment", "trace_id"):
        if row[name]:
            yield f"{name.removesuffix('_id')}: {row[name]}"
    if row["tags"]:
        yield "tags: " + ", ".join(f"{name}={value}" for name, value in row["tags"].items())
    for feedback in detail.feedback:
        yield f"{feedback['name'] or feedback['email'] or 'somebody'} wrote: {feedback['message']}"


def _objects(document: dict[str, Any], name: str) -> Sequence[dict[str, Any]]:
    return (document.get(name) or {}).get("values") or ()


def _state(issue: DictRow) -> str:
    """The status, with what a person would want to know of it."""
    if issue["status"] == "unresolved" and issue["regressed_at"]:
        return "regressed"
    return "resolved in next release" if issue["resolved_in_next_release"] else issue["status"]


def _shown(text: str | None, most: int) -> str | None:
    if text is None:
        return None
    plain = harmless(text)
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _status(name: str) -> Status | None:
    if name == "all":
        return None
    if name not in _STATUSES:
        raise Invalid(f"there is no status {name!r}; it is unresolved, regressed, resolved, ignored, merged or all")
    return _STATUSES[name]


def _tags(given: list[str] | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in given or ()]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise Invalid(f"{wrong[0]!r} is no tag; write it as plan=pro")
    return {name: value for name, _, value in pairs}


def _ago(since: str | None) -> datetime | None:
    return datetime.now(UTC) - parse_duration(since) if since else None
