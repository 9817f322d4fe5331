"""Remembers where in the code something happened for a microsecond or two, and tells it in words when asked."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType
from typing import TypeAlias

Stack: TypeAlias = tuple[Sequence[CodeType], Sequence[int]]
"""Each frame's code, and the instruction that it was at, the innermost first; keeps no local variable alive."""

_DEEPEST = 12
_DEPTHS = range(_DEEPEST)
_SHOWN = 8
_LIBRARIES = tuple({sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
_OURS = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - compared with the texts that code objects hold


def captured(frame: FrameType | None) -> Stack:
    """The frames from this one outwards, twelve at most. Lines are worked out when they are told."""
    codes: list[CodeType] = []
    instructions: list[int] = []
    for _ in _DEPTHS:
        if frame is None:
            break
        codes.append(frame.f_code)
        instructions.append(frame.f_lasti)
        frame = frame.f_back
    return codes, instructions


def caller_of_greenlet() -> FrameType | None:
    """Where the coroutine is that runs SQLAlchemy's synchronous code in a greenlet: its frames are not linked."""
    greenlet = sys.modules.get("greenlet")
    parent = greenlet.getcurrent().parent if greenlet else None
    return parent.gr_frame if parent else None


def told(stack: Stack) -> list[str]:
    """The frames as `backend/accounts.py:113 is_signed_in`, the innermost first: those of the service's own code.

    Where there are none, those of the libraries.
    """
    own = [
        told for code, instruction in zip(*stack, strict=True) if _is_own(code) and (told := _frame(code, instruction))
    ]
    return (
        own[:_SHOWN]
        or [_frame(code, instruction) for code, instruction in zip(*stack, strict=True) if _is_other(code)][:_SHOWN]
    )


def _is_own(code: CodeType) -> bool:
    return _is_other(code) and not code.co_filename.startswith((*_LIBRARIES, "<"))


def _is_other(code: CodeType) -> bool:
    return not code.co_filename.startswith(_OURS)


def _frame(code: CodeType, instruction: int) -> str:
    return f"{_shortened(code.co_filename)}:{_line(code, instruction)} {code.co_qualname}"


def _line(code: CodeType, instruction: int) -> int:
    return next((line for start, end, line in _lines(code) if start <= instruction < end), code.co_firstlineno)


def _lines(code: CodeType) -> Iterator[tuple[int, int, int]]:
    return ((start, end, line) for start, end, line in code.co_lines() if line is not None)


def _shortened(path: str) -> str:
    """As one would type it in the service's folder; of a library, from its package on."""
    for folder in (os.getcwd() + os.sep, *sorted(_LIBRARIES, key=len, reverse=True)):  # noqa: PTH109
        if path.startswith(folder):
            return path[len(folder) :]
    return path
