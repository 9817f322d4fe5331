"""Reads a runbook: the fenced blocks of a Markdown file that can be run, in order, with their line and headings.

Attributes stand behind the language as Runme writes them, ```` ```sh {"name":"kill-switch"} ````. Understood are
`name`; `excludeFromRunAll` with our `why` (a block that is not run must say why); `database` (`ops` or `service`,
for SQL). A `json` block right after a block that runs is the output expected of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from markdown_it import MarkdownIt
from markdown_it.token import Token

from opsbook.core.errors import Invalid, NotFound

Kind = Literal["shell", "sql", "python"]

KINDS: Mapping[str, Kind] = {
    "sh": "shell",
    "bash": "shell",
    "shell": "shell",
    "sql": "sql",
    "python": "python",
    "py": "python",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One block of a runbook that can be run."""

    name: str
    language: str
    kind: Kind
    code: str
    line: int
    """Line of the file on which the block's fence opens, from 1."""
    headings: tuple[str, ...]
    """The headings above it, outermost first, without the document's title."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    expected: str | None = None
    """The JSON that its output must contain, as written."""

    @property
    def title(self) -> str:
        return self.headings[-1] if self.headings else self.name

    @property
    def excluded(self) -> str | None:
        """Why the block is not run with the others, or None where it is."""
        return self.attributes.get("why") if self.attributes.get("excludeFromRunAll") == "true" else None


@dataclass(frozen=True, slots=True)
class Runbook:
    """A parsed runbook."""

    path: Path
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step:
        """The step of that name.

        Raises:
            NotFound: There is none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise NotFound(f"{self.path} has no step {name!r}: `opsbook runbook list` shows the steps")


def read_runbook(path: Path) -> Runbook:
    """The runbook in a file.

    Raises:
        NotFound: There is no such file.
        Invalid: It is no text, or a block's attributes are wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFound(f"there is no runbook at {path}: name one with --file") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 text") from error
    return Runbook(path, parse_runbook(text, str(path)))


def parse_runbook(text: str, source: str = "RUNBOOK.md") -> tuple[Step, ...]:
    """The steps of a runbook's text; `source` names it in errors.

    Raises:
        Invalid: Attributes are malformed, a name is used twice, or an excluded block does not say why.
    """
    steps: list[Step] = []
    names: dict[str, int] = {}
    section: int | None = None  # of the block before, if that one runs
    for fence, headings, number in _fences(text):
        line = (fence.map or [0])[0] + 1
        language, attributes = _info(fence.info, f"{source}:{line}")
        if language == "json" and section == number:
            steps[-1] = replace(steps[-1], expected=_json(fence.content, f"{source}:{line}"))
        elif language in KINDS:
            name = attributes.get("name") or _unused(_slug(headings[-1] if headings else language), names)
            if name in names:
                raise Invalid(f"{source}:{line}: the name {name!r} is already that of the block on line {names[name]}")
            names[name] = line
            step = Step(name, language, KINDS[language], fence.content, line, headings, attributes)
            steps.append(_checked(step, f"{source}:{line}"))
        section = number if language in KINDS else None
    return tuple(steps)


def _fences(text: str) -> Iterator[tuple[Token, tuple[str, ...], int]]:
    """Each fenced block, with the headings above it and how many came before it."""
    path: dict[int, str] = {}
    sections = 0
    tokens = MarkdownIt("commonmark").parse(text)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            level = int(token.tag[1])
            path = {above: title for above, title in path.items() if above < level}
            path[level] = tokens[index + 1].content
            sections += 1
        elif token.type == "fence":
            yield token, tuple(title for level, title in sorted(path.items()) if level > 1), sections


def _info(info: str, where: str) -> tuple[str, Mapping[str, str]]:
    """Language and attributes of an info string: JSON as Runme writes it now, or `{ key=value }` as it used to."""
    language, _, rest = info.strip().partition(" ")
    rest = rest.strip()
    if not rest.startswith("{"):
        return language.lower(), {}
    try:
        found: object = json.loads(rest)
    except ValueError as error:
        found = dict(re.findall(r"([\w-]+)=(\S+)", rest.strip("{} ")))
        if not found:
            raise Invalid(f'{where}: the attributes {rest} are not JSON such as {{"name":"kill-switch"}}') from error
    if not isinstance(found, dict):
        raise Invalid(f"{where}: the attributes {rest} are not a JSON object")
    attributes = cast("dict[str, object]", found)
    return language.lower(), {key: _plain(value) for key, value in attributes.items()}


def _plain(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _json(text: str, where: str) -> str:
    try:
        json.loads(text)
    except ValueError as error:
        raise Invalid(f"{where}: the expected output is not JSON: {error}") from error
    return text


def _checked(step: Step, where: str) -> Step:
    if step.attributes.get("excludeFromRunAll") == "true" and not step.excluded:
        raise Invalid(f'{where}: the block {step.name!r} is excluded from the test; say why in an attribute "why"')
    if step.kind == "sql" and step.attributes.get("database", "ops") not in {"ops", "service"}:
        raise Invalid(f'{where}: "database" of {step.name!r} must be "ops" or "service"')
    return step


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") or "step"


def _unused(name: str, names: Mapping[str, int]) -> str:
    number = 1
    candidate = name
    while candidate in names:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
