"""Named SQL: reads a chapter's `queries.sql` into statements by name.

Each statement stands under a line `-- name: what_it_does` and a comment saying what
it is for, so that everything which touches a table is seen in one place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_queries(package: str) -> Mapping[str, LiteralString]:
    """The statements of `queries.sql` in a package, by name.

    Raises:
        ValueError: A name is used twice.
    """
    parts = _NAME.split((resources.files(package) / "queries.sql").read_text(encoding="utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"a statement name is used twice in {package}/queries.sql")
    return {name: cast("LiteralString", body.strip()) for name, body in zip(names, bodies, strict=True)}
