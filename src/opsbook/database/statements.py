"""Splits a file of SQL into its statements, as the server would read them."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* )
    | (?P<block> /\* )
    | (?P<escape> \b[eE]'(?:[^'\\]|\\.|'')*' )
    | (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" )
    | (?P<dollar> (?<![\w$])(?P<tag>\$(?:[^\W\d]\w*)?\$) .*? (?P=tag) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<end> ; )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ATOMIC = re.compile(r"\bbegin\s+atomic\b", re.IGNORECASE)


def split_statements(text: str) -> list[str]:
    """The statements of a file in order, without the semicolons that end them.

    Comments belong to the statement that follows; those at the end are a last one, as the Supabase CLI has it.
    Knows quotes, dollar quotes, nested comments and the bodies of `begin atomic … end`
    (PostgreSQL manual, "Lexical Structure").
    """
    return [statement for part in _parts(text) if (statement := part.strip())]


def _parts(text: str) -> Iterator[str]:
    start, position, depth = 0, 0, 0
    while match := _TOKEN.search(text, position):
        position = match.end()
        if match.lastgroup == "block":
            position = _end_of_comment(text, position)
        elif match.lastgroup == "word":
            depth = _depth_after(match, text, depth)
        elif match.lastgroup == "end" and depth == 0:
            yield text[start : match.start()]
            start = position
    yield text[start:]


def _end_of_comment(text: str, position: int) -> int:
    """Where a block comment ends; they nest, unlike in C."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(text, position)):
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return len(text) if depth else position


def _depth_after(match: re.Match[str], text: str, depth: int) -> int:
    """How deep we are in `begin atomic` bodies, where `case` has an `end` of its own."""
    word = match.group().lower()
    if _ATOMIC.match(text, match.start()) or (word == "case" and depth):
        return depth + 1
    return depth - 1 if word == "end" and depth else depth
