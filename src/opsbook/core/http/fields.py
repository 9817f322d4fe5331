"""Values as they stand in a request, read the same by the routes and pages of every chapter."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator

from opsbook.core.errors import Invalid

_LARGEST = 2**63 - 1
"""Of a Postgres bigint."""


def _written_out(value: object) -> object:
    if not isinstance(value, str) or "-" not in value[1:]:
        raise ValueError("write a time as 2031-01-31T14:05:00Z")  # pydantic would take a number for seconds
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""A time with its offset, written out (RFC 3339)."""


def _as_number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("give a number")  # pydantic would take true for 1, and read a text
    return value


Number = Annotated[int, BeforeValidator(_as_number)]
"""A whole number of a JSON body, which may also write it as 1.0."""


def parse_number(text: str) -> int | None:
    """The number of a record or a revision; None for no text.

    Raises:
        Invalid: It is no whole number, or one that no row can have.
    """
    if not text:
        return None
    # Bounded before it is read: int() refuses thousands of digits with an error of its own.
    if len(text) > len(str(_LARGEST)) or not (text.isascii() and text.isdigit()) or int(text) > _LARGEST:
        raise Invalid(f"{text[:40]!r} is not the number of a record")
    return int(text)
