"""What is to be forgotten, as processes tell it to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

PurgeKind: TypeAlias = Literal["all", "function", "tag", "key"]


class Purge(msgspec.Struct, frozen=True):
    """Everything, one function's results, all that carry a tag, or the result of one call."""

    kind: PurgeKind
    target: str = ""
    """The function's name, or the tag."""
    digest: bytes = b""
    """Of the one call."""

    def concerns(self, function: str, digest: bytes, tags: Sequence[str]) -> bool:
        """Whether a result is among what is to be forgotten."""
        match self.kind:
            case "all":
                return True
            case "tag":
                return self.target in tags
            case "function":
                return self.target == function
            case "key":
                return self.target == function and self.digest == digest


class Told(msgspec.Struct, frozen=True):
    """A purge on its way, and the process that tells of it."""

    sender: str
    purge: Purge


encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Told)


def decode(data: object) -> Told | None:
    """What a message tells; None where it is none of ours."""
    try:
        return _decoder.decode(data) if isinstance(data, bytes) else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
