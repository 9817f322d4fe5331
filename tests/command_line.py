"""Types an `opsbook` command in the test's own process, which costs no start of a new one."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from opsbook.cli import main
from opsbook.core import console

console.out.width = 200  # COLUMNS would be read when the first test imports it, and no more


@dataclass(frozen=True)
class Typed:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def opsbook(*arguments: str, **environment: str) -> Typed:
    """Run `opsbook` with nobody at the keyboard; the environment's names are given in upper case."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    code = 0
    with (
        patch.object(sys, "argv", ["opsbook", *arguments]),
        patch.dict(os.environ, {"OPSBOOK_HOME": "/nonexistent", **environment}),
        patch.object(sys, "stdin", io.StringIO()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    out.seek(0)
    return Typed(code, out.read(), err.getvalue())
