"""Evaluating one flag without anything around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsbook.flags.evaluation import Evaluation, compile_flag, evaluate
from opsbook.flags.model import Flag


def alone(flag: Flag, key: str | None = None, **fields: Any) -> Evaluation:
    """What a flag is for a targeting key and other fields of the context."""
    context: Mapping[str, Any] = fields if key is None else {"targetingKey": key, **fields}
    return evaluate(compile_flag(flag), context, {})
