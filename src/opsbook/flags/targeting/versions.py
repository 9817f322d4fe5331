"""Semantic versions (semver 2.0.0): parsed strictly, compared by precedence, build metadata ignored."""

from __future__ import annotations

import re

_NUMBER = r"(0|[1-9]\d{0,17})"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)

Precedence = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def precedence(text: str) -> Precedence | None:
    """A key that sorts versions as semver 2.0.0, section 11, says; None for what is no version."""
    found = _VERSION.fullmatch(text) if len(text) <= 256 else None
    if found is None:
        return None
    major, minor, patch, before = found.groups()
    identifiers = tuple(_identifier(part) for part in before.split(".")) if before else ()
    return int(major), int(minor), int(patch), before is None, identifiers


def _identifier(part: str) -> tuple[bool, int, str]:
    # Numeric identifiers come before others and compare as numbers.
    return (False, int(part), "") if part.isdigit() else (True, 0, part)
