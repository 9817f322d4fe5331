"""A process's rate limits: has requests decided on Redis or in memory, and counts what was decided."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.types import Scope

from opsbook.core.errors import Invalid
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.log import get_logger
from opsbook.core.redis_link import RedisAway, RedisLink
from opsbook.performance.limits.answer import Item, items_of
from opsbook.performance.limits.claims import claims_of
from opsbook.performance.limits.counts import Counts
from opsbook.performance.limits.decision import Claim, Decision, Window, Windows
from opsbook.performance.limits.memory import MemoryLimiter
from opsbook.performance.limits.policy import RateLimit
from opsbook.performance.limits.shared import SharedLimiter
from opsbook.performance.limits.terms import Overrides, next_end, terms_of

_SETTLED_SECONDS = 5.0
"""Without a failure, after which Redis is taken to be back."""

log = get_logger(__name__)


class Verdict(NamedTuple):
    """What becomes of a request."""

    items: Sequence[Item] = ()
    """How the caller stands in each window that is enforced."""
    is_refused: bool = False
    uncounted: Sequence[str] = ()
    """Policies that cannot be counted now and let nobody pass uncounted."""


class RateLimits:
    """All limits of one process. Make one and keep it; `opsbook.install` does.

    Args:
        policies: What the middleware checks on every request; others may be declared later.
        link: The way to Redis; without it each process counts for itself, in memory.
        namespace: Tells services and environments apart that share a Redis.
        proxies: Whose word counts for the caller's address.
        clock: Seconds of a clock that is never set; a test brings its own.

    Raises:
        Invalid: Two policies have one name.
    """

    def __init__(
        self,
        policies: Sequence[RateLimit] = (),
        *,
        link: RedisLink | None = None,
        namespace: str = "default",
        proxies: TrustedProxies | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.everywhere = tuple(policies)
        self.policies: dict[str, RateLimit] = {}
        self.counts = Counts()
        self.workers = _configured_workers()
        """Processes that run this service, as far as is known."""
        self.clock = clock
        self._proxies = proxies or TrustedProxies()
        self._memory = MemoryLimiter(clock)
        self._shared = SharedLimiter(link, namespace, clock) if link else None
        self._away_at: float | None = None
        self._overrides: Overrides = {}
        self._reckon()
        self.declare(*policies)

    @property
    def storage(self) -> str:
        """Where is counted: `redis` or `memory`."""
        return "redis" if self._shared else "memory"

    def declare(self, *policies: RateLimit) -> None:
        """Make policies known, so that operators see and change them; the same one may be declared again.

        Raises:
            Invalid: Another policy has the name.
        """
        new = [policy for policy in policies if self.policies.get(policy.name) is not policy]
        for policy in new:
            if self.policies.setdefault(policy.name, policy) != policy:
                raise Invalid(f"two rate limits are called {policy.name!r}; give one of them another name")
        if new:
            self._reckon()

    def override(self, overrides: Overrides) -> None:
        """Have these in force from now on, instead of those before; no history is lost."""
        self._overrides = overrides
        self._reckon()

    def windows_of(self, policy: str) -> Windows:
        """What is in force for a declared policy; the longest window last."""
        return self._terms[policy].windows

    def meet(self, processes: int) -> None:
        """Learn how many processes count the same policies now; never fewer than were configured."""
        self.workers = max(_configured_workers(), processes)

    async def check(self, scope: Scope, policies: Sequence[RateLimit]) -> Verdict:
        """Decide a request by these policies together: it takes from all that are enforced, or from none."""
        if self.clock() >= self._next_end:
            self._reckon()
        enforced, observed = claims_of(scope, policies, self._terms, self._proxies)
        for claim in observed:
            self._judge(await self._decide([claim]))
        return self._judge(await self._decide(enforced)) if enforced else Verdict()

    async def aclose(self) -> None:
        """Let this event loop's connection to Redis go."""
        if self._shared:
            await self._shared.aclose()

    async def _decide(self, claims: Sequence[Claim]) -> _Decided:
        if self._shared is None:
            return _Decided(claims, self._memory.decide(claims))
        try:
            decision = await self._shared.decide(claims)
        except RedisAway as error:
            if self._away_at is None:
                log.warning("rate_limits_without_redis", error=str(error), workers=self.workers)
            self._away_at = self.clock()
            return self._decide_alone(claims)
        # One that is full, or a cluster in part, answers this and refuses that: callers must not fill the log by it.
        if self._away_at is not None and self.clock() - self._away_at > _SETTLED_SECONDS:
            self._away_at = None
            log.info("rate_limits_on_redis_again")
        return _Decided(claims, decision)

    def _decide_alone(self, claims: Sequence[Claim]) -> _Decided:
        """What the policies have each do while Redis is away."""
        closed = [claim.policy for claim in claims if self.policies[claim.policy].when_away == "closed"]
        if closed:
            return _Decided((), (), closed)
        local = [self._share(claim) for claim in claims if self.policies[claim.policy].when_away == "local"]
        return _Decided(local, self._memory.decide(local))

    def _share(self, claim: Claim) -> Claim:
        """This worker's part of the limit; at least one such request fits in."""
        workers = max(self.workers, self.policies[claim.policy].workers)
        windows = tuple(
            Window(min(limit, max(claim.cost, limit // workers)), seconds) for limit, seconds in claim.windows
        )
        return claim._replace(windows=windows)

    def _judge(self, decided: _Decided) -> Verdict:
        """The verdict, counted for each policy."""
        items: list[Item] = []
        waits = bool(decided.uncounted)
        for claim in decided.claims:
            own = items_of(claim.policy, claim.windows, decided.decision[len(items) :])
            if not own:  # on a cluster, after a refusal
                break
            is_refused, used = False, 0.0
            for _, (limit, _), (wait, remaining, _) in own:
                is_refused |= wait > 0
                used = max(used, 1 - remaining / limit)
            self.counts.note(claim.policy, claim.key, used, is_refused=is_refused)
            waits |= is_refused
            items += own
        return Verdict(items, waits, decided.uncounted)

    def _reckon(self) -> None:
        while True:
            now, overrides, known = self.clock(), self._overrides, len(self.policies)
            self._terms = terms_of(self.policies, overrides, now)
            self._next_end = next_end(overrides, now)
            # Again where another thread brought more meanwhile, which these would undo.
            if overrides is self._overrides and known == len(self.policies):
                return


class _Decided(NamedTuple):
    claims: Sequence[Claim]
    """Those that were counted."""
    decision: Decision
    uncounted: Sequence[str] = ()


def _configured_workers() -> int:
    """As gunicorn and uvicorn are told."""
    told = os.environ.get("WEB_CONCURRENCY", "")
    return max(1, int(told)) if told.isascii() and told.isdigit() and len(told) < 6 else 1
