"""Signing in: password or one-time link, with a lock-out that cannot shut the owner out.

Guessing is slowed by OWASP's device cookies: a browser that has signed in before carries a
signed cookie for that address and has a count of its own, so that strangers who use up the
strangers' count for somebody's address do not lock that somebody out. Source: OWASP, "Slow
Down Online Guessing Attacks with Device Cookies".
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import DictRow

from opsbook.core.access import store
from opsbook.core.access.identity import Identity, Role
from opsbook.core.access.passwords import Passwords
from opsbook.core.audit import acting, record
from opsbook.core.errors import Forbidden, Invalid, TooManyRequests, Unauthorized
from opsbook.core.postgres.connect import Connection, Pool

if TYPE_CHECKING:
    from opsbook.core.runtime import Runtime

_ALLOWED_FAILURES = 10
_LOCK_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True, repr=False)
class SignedIn:
    """The secrets that the browser keeps after a good sign-in."""

    session: str
    device: str


class SignIn:
    """Signs people in on one ops database; the runtime's key signs the device cookies."""

    def __init__(self, runtime: Runtime, passwords: Passwords | None = None) -> None:
        self._runtime = runtime
        self._key = runtime.signing_key
        self._passwords = passwords or Passwords()

    @property
    def _pool(self) -> Pool:
        return self._runtime.pool

    async def with_password(self, visitor: Identity, email: str, password: str, device_cookie: str | None) -> SignedIn:
        """Sign in with e-mail and password.

        Raises:
            Unauthorized: The two do not belong together, or the person is barred.
            TooManyRequests: Too many refusals, or too many sign-ins at once.
        """
        email = email.strip().lower()[:320]
        device = self._device(email, device_cookie)
        async with self._pool.connection() as connection:
            await self._heed_lock(connection, email, device)
            operator = await store.operator_by_email(connection, email)
        stored = operator["password_hash"] if operator else None
        matches = await self._passwords.verify(stored, password, address=visitor.ip, known=device is not None)
        if not operator or not matches or operator["disabled_at"]:
            await self._count_failure(visitor, "session.refused", email, device)
            raise Unauthorized("e-mail address and password do not belong together")
        async with acting(self._pool, self._as(visitor, operator["email"])) as connection:
            await store.forget_failures(connection, email, device)
            session = await store.create_session(connection, operator["id"], visitor.ip, visitor.user_agent)
        return SignedIn(session, self._device_cookie(email))

    async def with_link(self, visitor: Identity, secret: str) -> SignedIn:
        """Sign in the person whom a one-time link names, using it up.

        Raises:
            NotFound: The link is dead.
            Invalid: It invites a new person; `accept_invitation` takes it.
            Unauthorized: The person is being barred right now.
        """
        link = await self._live_link(secret)
        if link["operator_id"] is None:
            raise Invalid("this link invites a new person: choose an e-mail address and a password with it")
        async with acting(self._pool, self._as(visitor, link["email"])) as connection:
            # The person before the link, as barring locks them, lest the two wait for each other.
            session = await store.create_session(
                connection, link["operator_id"], visitor.ip, visitor.user_agent, by_link=True
            )
            await store.use_link(connection, secret)
        return SignedIn(session, self._device_cookie(link["email"]))

    async def accept_invitation(self, visitor: Identity, secret: str, email: str, name: str, password: str) -> SignedIn:
        """Become an operator by a one-time link, with a password of one's own.

        Raises:
            NotFound: The link is dead.
            Invalid: The address or the password will not do.
            Conflict: The address is taken.
        """
        link = await self._live_link(secret)
        if link["operator_id"] is not None:
            raise Invalid("this link signs in somebody who is an operator already")
        password_hash = await self._passwords.hash(password, visitor.ip)
        async with acting(self._pool, self._as(visitor, email.strip().lower())) as connection:
            used = await store.use_link(connection, secret)
            operator = await store.create_operator(connection, email, name, Role.parse(used["role"]), password_hash)
            session = await store.create_session(connection, operator["id"], visitor.ip, visitor.user_agent)
        return SignedIn(session, self._device_cookie(operator["email"]))

    async def asks_for_password(self, person: Identity) -> bool:
        """Whether somebody who is signed in must give the password before choosing another."""
        assert person.session_id is not None
        async with self._pool.connection() as connection:
            return await store.password_to_confirm(connection, person.session_id) is not None

    async def change_password(self, person: Identity, current: str, password: str) -> None:
        """A new password for somebody who is signed in; their sessions and links end.

        Raises:
            Forbidden: `current` is not the password so far, and is asked for.
            Invalid: The new one is too short or too long.
            TooManyRequests: Too many refusals, or too many sign-ins at once.
        """
        assert person.session_id is not None
        assert person.operator_id is not None
        counted_as = f"session {person.session_id}"
        async with self._pool.connection() as connection:
            await self._heed_lock(connection, person.name, counted_as)
            stored = await store.password_to_confirm(connection, person.session_id)
        if stored is not None and not await self._passwords.verify(stored, current, address=person.ip, known=True):
            await self._count_failure(person, "password.refused", person.name, counted_as)
            raise Forbidden(
                "that is not your current password; forgotten? sign in with a one-time link, then change it"
            )
        password_hash = await self._passwords.hash(password, person.ip)
        async with acting(self._pool, person) as connection:
            await store.set_password(connection, person.operator_id, password_hash)

    async def _live_link(self, secret: str) -> DictRow:
        async with self._pool.connection() as connection:
            return await store.live_link(connection, secret)

    async def _heed_lock(self, connection: Connection, email: str, device: str | None) -> None:
        if await store.count_failures(connection, email, device) >= _ALLOWED_FAILURES:
            raise TooManyRequests(
                "too many refused sign-ins for this address; wait 15 minutes, or use a link from `opsbook link`",
                _LOCK_SECONDS,
            )

    async def _count_failure(self, caller: Identity, action: str, email: str, device: str | None) -> None:
        async with acting(self._pool, caller) as connection:
            await store.record_failure(connection, email, device)
            await record(connection, action, "operator", email, success=False, reason="wrong password")

    def _as(self, visitor: Identity, email: str) -> Identity:
        return Identity(
            email, "operator", None, ip=visitor.ip, user_agent=visitor.user_agent, request_id=visitor.request_id
        )

    def _device_cookie(self, email: str) -> str:
        return hmac.new(self._key, b"device:" + email.encode(), hashlib.sha256).hexdigest()

    def _device(self, email: str, cookie: str | None) -> str | None:
        if cookie and hmac.compare_digest(cookie.encode(), self._device_cookie(email).encode()):
            return hashlib.sha256(cookie.encode()).hexdigest()[:16]
        return None
