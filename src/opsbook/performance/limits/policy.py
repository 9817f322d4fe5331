"""A rate limit as the service's code declares it: how much, for whom, on which requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, TypeAlias

from starlette.datastructures import Headers
from starlette.types import Scope

from opsbook.core.errors import Invalid
from opsbook.performance.limits.decision import Window, Windows

NAME_PATTERN = "^[a-z0-9][a-z0-9._-]{0,62}$"
MOST = 1_000_000
"""The highest limit: a key's history takes eight bytes for each."""

SPANS: Mapping[str, int] = {"per_second": 1, "per_minute": 60, "per_hour": 3600, "per_day": 86400}
"""Seconds of each window, the longest last."""

KeyFunction: TypeAlias = Callable[[Scope], str | None]
"""Whom a request counts against; None for nobody, which lets it pass."""
Key: TypeAlias = Literal["client_address", "user", "api_key", "route"] | KeyFunction
WhenAway: TypeAlias = Literal["local", "open", "closed"]


@dataclass(frozen=True)
class RateLimit:
    """At most so many requests in any second, minute, hour or day, wherever it begins.

    Args:
        name: What the limit is called in headers, commands and the table `rate_limits`.
        per_second: At most so many in any second; likewise the others. At least one is given.
        key: Whom requests count against. `client_address` is the caller's, IPv6 by its /64. `user` is who signed in
            (Starlette's `scope["user"]`), and the address while nobody has: put it where that is known, as in
            `limited`. `api_key` is a bearer token or X-API-Key, by its hash; a caller can invent any number of them,
            so keep a limit by address beside it. `route` is one count for everybody, of a route in `limited`, and of
            each path before requests are routed.
        when_away: What becomes of requests while Redis is: `local` gives each worker its share of the limit, `open`
            admits them all, `closed` answers 503.
        workers: How many processes share the limit while Redis is away, where more are not known of.
        cost: How much a request takes.
        exempt: Networks and addresses that are not limited, or keys, as `user ann` and what a function gives.
        paths: Those that are, as `/api/*`; all where left out.
        methods: Likewise.

    Raises:
        Invalid: A limit that makes no sense.
    """

    name: str
    per_second: int | None = None
    per_minute: int | None = None
    per_hour: int | None = None
    per_day: int | None = None
    key: Key = "client_address"
    when_away: WhenAway = "local"
    workers: int = 1
    cost: int | Callable[[Scope], int] = 1
    exempt: Sequence[str] = ()
    paths: Sequence[str] = ()
    methods: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME_PATTERN, self.name):
            raise Invalid(f"{self.name!r} is no name of a rate limit: a-z, 0-9, dot, dash and underscore, at most 63")
        limits = self.limits
        if not limits:
            raise Invalid(f"the rate limit {self.name!r} limits nothing: give per_minute, or another")
        if not all(1 <= limit <= MOST for limit in limits.values()):
            raise Invalid(f"the limits of {self.name!r} are to be 1 to {MOST:,}")
        if isinstance(self.cost, int) and not 0 <= self.cost <= min(limits.values()):
            raise Invalid(f"the cost of a request, {self.cost}, is to be 0 to the smallest limit of {self.name!r}")

    @property
    def limits(self) -> Mapping[str, int]:
        """What is limited, by its name in SPANS."""
        return {name: limit for name in SPANS if (limit := getattr(self, name)) is not None}

    def windows(self, overrides: Mapping[str, int] | None = None) -> Windows:
        """The windows that are in force, with these instead of or beside the declared ones."""
        limits = {**self.limits, **(overrides or {})}
        return tuple(Window(limits[name], SPANS[name]) for name in SPANS if name in limits)

    def covers(self, scope: Scope) -> bool:
        """Whether a request is limited by this, as far as its path and method say."""
        if self.methods and scope["method"] not in self.methods:
            return False
        return self._path is None or self._path.match(scope["path"]) is not None

    def is_exempt(self, key: str, addresses: Sequence[str]) -> bool:
        """Whether this key, or whoever calls from one of these addresses, is not limited."""
        return key in self.exempt or all(map(self._exempt_address, addresses))

    @cached_property
    def _path(self) -> re.Pattern[str] | None:
        return re.compile("|".join(translate(path) for path in self.paths)) if self.paths else None

    @cached_property
    def _exempt_address(self) -> Callable[[str], bool]:
        from opsbook.core.http.client_address import TrustedProxies

        networks = [network for each in self.exempt if (network := _network(each))]
        return TrustedProxies(networks).trusts if networks else lambda _: False


def credential_of(scope: Scope) -> str | None:
    """The bearer token or API key that a request brings, None where it brings none."""
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return (token.strip() if scheme.lower() == "bearer" else "") or headers.get("x-api-key") or None


def user_of(scope: Scope) -> str | None:
    """Who signed in, as Starlette's authentication says."""
    user = scope.get("user")
    if user is None or not getattr(user, "is_authenticated", True):
        return None
    names = (_attribute(user, name) for name in ("identity", "id", "display_name"))
    return next((str(name) for name in names if name not in (None, "")), None)


def _attribute(user: object, name: str) -> object:
    try:
        return getattr(user, name, None)
    except NotImplementedError:  # as Starlette's BaseUser has it where a service does not say
        return None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
