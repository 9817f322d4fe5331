"""`@cached(ttl=300)`: keep what a function returned, in this process and in the Redis of REDIS_URL, where there is one.

from backend.cache import cached

@cached(ttl=300, stale=60, tags="user:{user_id}")
def profile(user_id: str) -> Profile: ...

profile.invalidate("u1")   # this one, in every process; `opsbook cache purge --tag user:u1` does by hand
"""

from __future__ import annotations

from opsbook import cached

__all__ = ["cached"]
