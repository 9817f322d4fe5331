"""What is to be purged, as HTTP and the command line are told it."""

from __future__ import annotations

import json
from typing import cast

from opsbook.core.errors import Invalid
from opsbook.performance.cache.keys import NoKey, digest
from opsbook.performance.cache.purges import Purge

_LONGEST = 1000


def purge_from(*, everything: bool, function: str | None, tag: str | None, key: str | None) -> Purge:
    """The purge that is meant.

    Args:
        everything: Whether all functions are to forget all.
        function: Its name, with its module.
        tag: As the functions' `tags=` give it.
        key: The arguments of one call of the function, with defaults, as a JSON array.

    Raises:
        Invalid: None of them is meant, or two are.
    """
    if everything + (function is not None) + (tag is not None) != 1 or (key is not None and function is None):
        raise Invalid("say one of: everything, a function, a tag; a key goes with its function")
    target = function or tag or ""
    if not everything and (not target or len(target) > _LONGEST or "\0" in target):
        raise Invalid(f"a function's name or a tag has 1 to {_LONGEST:,} characters")
    if everything:
        return Purge("all")
    if tag is not None:
        return Purge("tag", tag)
    return Purge("function", target) if key is None else Purge("key", target, _digest(key))


def in_words(purge: Purge) -> str:
    """What a purge forgets."""
    match purge.kind:
        case "all":
            return "all cached results"
        case "tag":
            return f"cached results with the tag {purge.target!r}"
        case "function":
            return f"cached results of {purge.target}"
        case "key":
            return f"one cached result of {purge.target}"


def _digest(key: str) -> bytes:
    try:
        arguments = json.loads(key)
        if isinstance(arguments, list):
            return digest(cast("list[object]", arguments))[0]
    except (ValueError, RecursionError, NoKey):
        pass  # as for what is no array
    raise Invalid("""a key is the call's arguments, with defaults, as a JSON array: '["42", true]'""")
