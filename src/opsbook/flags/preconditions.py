"""The revision that a caller of the API saw, so that a change made in between is not overwritten (RFC 9110, 13.1.1)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header
from pydantic.json_schema import SkipJsonSchema

from opsbook.core.errors import Invalid

IfMatch = Annotated[
    str | SkipJsonSchema[None],
    Header(
        description='The revision that you saw, as an entity tag: `"17"`.',
        json_schema_extra={"pattern": r'^(\*|(W/)?"?[0-9]{1,18}"?)$'},
    ),
]


def expected(revision: int | None, if_match: str | None) -> int | None:
    """The revision that a body or a header expects; None where any will do.

    Raises:
        Invalid: The header is no revision.
    """
    if if_match is None or if_match == "*":
        return revision
    tag = re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', if_match.strip())
    if tag is None:
        raise Invalid('If-Match takes the revision that you saw, as `"17"`')
    return int(tag[1])


def entity_tag(revision: int) -> str:
    """A revision as the header `ETag` has it."""
    return f'"{revision}"'
