"""What an issue is called, and where it happened."""

from __future__ import annotations

from typing import Final

from opsbook.debugging.grouping.frames import innermost
from opsbook.debugging.protocol.canonical import Frame
from opsbook.debugging.protocol.event import Event

TITLE_CHARACTERS: Final = 200
CULPRIT_CHARACTERS: Final = 200
UNTITLED: Final = "(no message)"


def title(event: Event) -> str:
    """`Type: first line of its message` of the exception that was raised last, else the message."""
    text = event.message
    if event.exceptions:
        last = event.exceptions[-1]
        text = ": ".join(part for part in (last.type, _first_line(last.value or "")) if part) or text
    return _shortened(_first_line(text), TITLE_CHARACTERS) or UNTITLED


def culprit(event: Event) -> str:
    """`module in function` of our own code nearest to the error; without a stack, the transaction."""
    frame = innermost(_stack(event))
    if frame is None:
        return _shortened(event.transaction or "", CULPRIT_CHARACTERS)
    place = frame.module or frame.filename or frame.abs_path or "?"
    return _shortened(f"{place} in {frame.function}" if frame.function else place, CULPRIT_CHARACTERS)


def _stack(event: Event) -> tuple[Frame, ...]:
    for exception in reversed(event.exceptions):
        if exception.stacktrace and exception.stacktrace.frames:
            return tuple(exception.stacktrace.frames)
    return event.frames


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
