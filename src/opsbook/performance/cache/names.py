"""The names under which the cache lives in Redis.

    opsbook:cache:{ENVIRONMENT:FUNCTION}:DIGEST          an entry
    opsbook:cache:{ENVIRONMENT:FUNCTION}:DIGEST:lease    whoever computes it at present
    opsbook:cache:{ENVIRONMENT:FUNCTION}:generation      changed by a purge of the function
    opsbook:cache:{ENVIRONMENT:FUNCTION}:tag:TAG         changed by a purge of the tag
    opsbook:cache:ENVIRONMENT:functions                  the set of functions
    opsbook:cache:ENVIRONMENT:purges                     the channel on which processes tell each other of purges
    opsbook:cache:ENVIRONMENT:purged:REVISION            that this purge of the ops database's has been seen to

What stands in braces decides the slot in a cluster: an entry is read together with its generations, so a function's
keys lie together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

_LONGEST_TAG = 100


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one environment."""

    environment: str

    @property
    def functions(self) -> str:
        return f"opsbook:cache:{self.environment}:functions"

    @property
    def channel(self) -> str:
        return f"opsbook:cache:{self.environment}:purges"

    def purged(self, revision: int) -> str:
        return f"opsbook:cache:{self.environment}:purged:{revision}"

    def entry(self, function: str, digest: bytes) -> str:
        return f"{self._function(function)}{digest.hex()}"

    def lease(self, function: str, digest: bytes) -> str:
        return f"{self._function(function)}{digest.hex()}:lease"

    def generations(self, function: str, tags: Sequence[str]) -> list[str]:
        """The function's generation, then each tag's."""
        return [f"{self._function(function)}generation", *(self.tag(function, tag) for tag in tags)]

    def tag(self, function: str, tag: str) -> str:
        if len(tag) > _LONGEST_TAG:
            tag = blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{self._function(function)}tag:{tag}"

    def _function(self, function: str) -> str:
        return _prefix(self.environment, function)


@cache
def _prefix(environment: str, function: str) -> str:
    # A brace within would end the part that decides the slot.
    return f"opsbook:cache:{{{environment.replace('}', ']')}:{function.replace('}', ']')}}}:"
