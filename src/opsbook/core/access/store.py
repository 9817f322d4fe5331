"""People, sessions, tokens and links in the ops database.

Each function takes a connection that is already acting for somebody (`audit.acting`), so
that the tables' triggers record who did it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from psycopg import errors
from psycopg.rows import DictRow

from opsbook.core.access.credentials import digest, new_secret, new_token
from opsbook.core.access.identity import Identity, Role, Scope
from opsbook.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries

_QUERIES = load_queries("opsbook.core.access")

SESSION_LIFETIME = timedelta(days=14)
SESSION_IDLE = timedelta(days=3)
LINK_LIFETIME = timedelta(minutes=15)
INVITATION_LIFETIME = timedelta(days=3)
_HINT_CHARACTERS = 10
_DEAD_LINK = "this sign-in link has been used or has expired; ask for a new one, or run `opsbook link`"


@dataclass(frozen=True, slots=True)
class NewToken:
    """An API token at the one moment in which its text is known."""

    secret: str
    row: DictRow

    def __repr__(self) -> str:
        return f"NewToken({self.row['hint']}…)"


def check_grant(by: Identity, role: Role, scopes: Sequence[str]) -> None:
    """The one rule of what a token may be given, at whatever door it is made.

    Raises:
        Invalid: A scope is unknown, or there is none.
        Forbidden: It could do more than whoever makes it.
    """
    if not scopes or not set(scopes) <= set(get_args(Scope)):
        raise Invalid(f"the scopes of a token are some of {', '.join(get_args(Scope))}; not {', '.join(scopes)!r}")
    if not all(by.may(role, scope) for scope in scopes):
        raise Forbidden(f"{by.name} may not grant more than it has: {role.label} with {', '.join(scopes)}")


async def create_token(
    connection: Connection,
    name: str,
    role: Role,
    *,
    by: Identity,
    scopes: Sequence[str] = ("*",),
    lifetime: timedelta | None = None,
) -> NewToken:
    """Make a token; its text is shown once and never stored.

    Raises:
        Invalid: The name is empty or too long, a scope is unknown, or a lifetime is not positive.
        Forbidden: It could do more than whoever makes it.
    """
    if not 1 <= len(name.strip()) <= 200:
        raise Invalid("a token's name has 1 to 200 characters")
    if lifetime is not None and lifetime <= timedelta(0):
        raise Invalid("a token's lifetime is positive; leave it out for one that does not expire")
    check_grant(by, role, scopes)
    secret = new_token()
    row = await _one(
        connection,
        "create_token",
        name=name.strip(),
        hint=secret[:_HINT_CHARACTERS],
        token_hash=digest(secret),
        role=role.label,
        scopes=list(scopes),
        created_by=by.name,
        seconds=lifetime.total_seconds() if lifetime else None,
    )
    assert row is not None
    return NewToken(secret, row)


async def list_tokens(connection: Connection) -> Sequence[DictRow]:
    """Every token, live ones first."""
    return await _all(connection, "list_tokens")


async def live_tokens_called(connection: Connection, which: str) -> Sequence[DictRow]:
    """The live token with that id, else all with that name.

    Raises:
        NotFound: There is none.
    """
    rows = await _all(connection, "live_tokens_called", which=which)
    if not rows:
        raise NotFound(f"there is no live token {which!r}; `opsbook token list` shows them")
    return rows


async def revoke_token(connection: Connection, token_id: int) -> None:
    """End a token.

    Raises:
        NotFound: There is no such live token.
    """
    if await _one(connection, "revoke_token", id=token_id) is None:
        raise NotFound(f"there is no live token {token_id}; `opsbook token list` shows them")


async def token_by_secret(connection: Connection, secret: str) -> DictRow | None:
    """The token's row with `revoked` and `expired`, or None for one that was never issued."""
    return await _one(connection, "token_by_hash", token_hash=digest(secret))


async def token_by_id(connection: Connection, token_id: int) -> DictRow | None:
    """The same of a token that was recognised before, by its number."""
    return await _one(connection, "token_by_id", id=token_id)


async def touch_token(connection: Connection, token_id: int) -> None:
    """Note that it was used, at most once a minute."""
    await connection.execute(_QUERIES["touch_token"], {"id": token_id})


async def live_tokens_made_by(connection: Connection, email: str) -> Sequence[DictRow]:
    """The live tokens that a person made, by hand or through another token."""
    return await _all(connection, "live_tokens_made_by", email=email)


async def operator_by_id(connection: Connection, operator_id: int) -> DictRow | None:
    """The person of that number."""
    return await _one(connection, "operator_by_id", id=operator_id)


async def list_operators(connection: Connection) -> Sequence[DictRow]:
    """Everybody who may sign in, or might."""
    return await _all(connection, "list_operators")


async def operator_by_email(connection: Connection, email: str) -> DictRow | None:
    """The person with that e-mail address, in whatever case it was typed."""
    return await _one(connection, "operator_by_email", email=email.strip().lower())


async def create_operator(connection: Connection, email: str, name: str, role: Role, password_hash: str) -> DictRow:
    """A new person.

    Raises:
        Conflict: The address is taken.
        Invalid: It is no e-mail address.
    """
    try:
        row = await _one(
            connection,
            "create_operator",
            email=email.strip().lower(),
            name=name.strip() or email.strip().lower(),
            role=role.label,
            password_hash=password_hash,
        )
    except errors.UniqueViolation as error:
        raise Conflict(f"somebody signs in as {email.strip().lower()} already") from error
    except (errors.CheckViolation, errors.DataError) as error:
        raise Invalid("that is not an e-mail address") from error
    assert row is not None
    return row


async def change_operator(
    connection: Connection, operator_id: int, *, role: Role | None = None, disabled: bool | None = None
) -> DictRow:
    """Another role, or barred from signing in.

    A barred person's sessions end, and the links made for and by that person; the links end too
    for who is no admin any more, since they might invite one.

    Raises:
        Conflict: Nobody would be left who can let others in.
        NotFound: There is no such person.
    """
    lesser = disabled or (role is not None and role < Role.ADMIN)
    if lesser:
        others = await _one(connection, "count_admins", except_id=operator_id)
        assert others is not None
        if others["others"] == 0:
            raise Conflict("this is the last admin who can sign in; make another one first")
    row = await _one(
        connection, "change_operator", id=operator_id, role=role.label if role else None, disabled=disabled
    )
    if row is None:
        raise NotFound(f"there is no operator {operator_id}")
    if lesser:
        await connection.execute(_QUERIES["end_links_of"], {"operator_id": operator_id})
    if disabled:
        await connection.execute(_QUERIES["revoke_sessions_of"], {"operator_id": operator_id})
    return row


async def set_password(connection: Connection, operator_id: int, password_hash: str) -> None:
    """A new password; every session of the person ends, and the links made for and by that person."""
    await connection.execute(_QUERIES["set_password"], {"id": operator_id, "password_hash": password_hash})
    await connection.execute(_QUERIES["end_links_of"], {"operator_id": operator_id})
    await connection.execute(_QUERIES["revoke_sessions_of"], {"operator_id": operator_id})


async def create_session(
    connection: Connection, operator_id: int, ip: str | None, user_agent: str | None, *, by_link: bool = False
) -> str:
    """Sign a browser in; gives the cookie's secret.

    Raises:
        Unauthorized: The person is barred.
    """
    secret = new_secret()
    row = await _one(
        connection,
        "create_session",
        token_hash=digest(secret),
        operator_id=operator_id,
        seconds=SESSION_LIFETIME.total_seconds(),
        by_link=by_link,
        ip=ip,
        user_agent=(user_agent or "")[:300],
    )
    if row is None:
        raise Unauthorized("this person may not sign in any more")
    return secret


async def session_by_secret(connection: Connection, secret: str) -> DictRow | None:
    """Who is behind a session cookie, or None where it is not good (any more)."""
    return await _one(
        connection, "session_by_hash", token_hash=digest(secret), idle_seconds=SESSION_IDLE.total_seconds()
    )


async def password_to_confirm(connection: Connection, session_id: int) -> str | None:
    """The hash of the password to give before choosing another; None for who has none, or came by a link just now."""
    row = await _one(connection, "password_to_confirm", session_id=session_id)
    return row["hash"] if row else None


async def touch_session(connection: Connection, session_id: int) -> None:
    """Note that it was used, at most once a minute."""
    await connection.execute(_QUERIES["touch_session"], {"id": session_id})


async def list_sessions(connection: Connection) -> Sequence[DictRow]:
    """Open browser sessions."""
    return await _all(connection, "list_sessions")


async def revoke_session(connection: Connection, session_id: int, *, operator_id: int | None = None) -> None:
    """Sign a browser out: anybody's, or with `operator_id` only one of that person's.

    Raises:
        NotFound: There is no such open session.
    """
    if await _one(connection, "revoke_session", id=session_id, operator_id=operator_id) is None:
        raise NotFound(f"there is no open session {session_id}{' of yours' if operator_id else ''}")


async def create_link(
    connection: Connection,
    role: Role,
    *,
    created_by: str,
    operator_id: int | None = None,
    lifetime: timedelta = LINK_LIFETIME,
) -> str:
    """A one-time sign-in link's secret; without `operator_id` it invites a new person."""
    secret = new_secret()
    await connection.execute(
        _QUERIES["create_link"],
        {
            "token_hash": digest(secret),
            "operator_id": operator_id,
            "role": role.label,
            "created_by": created_by,
            "seconds": lifetime.total_seconds(),
        },
    )
    return secret


async def list_links(connection: Connection) -> Sequence[DictRow]:
    """Links that would still let somebody in; without `email` they invite somebody new."""
    return await _all(connection, "list_links")


async def end_link(connection: Connection, link_id: int) -> None:
    """End a link before its time.

    Raises:
        NotFound: There is no such link that waits.
    """
    if await _one(connection, "end_link", id=link_id) is None:
        raise NotFound(f"no link {link_id} waits to be used")


async def peek_link(connection: Connection, secret: str) -> DictRow | None:
    """What a link would do (`operator_id`, `role`, `email`), or None for a dead one; does not use it."""
    return await _one(connection, "peek_link", token_hash=digest(secret))


async def live_link(connection: Connection, secret: str) -> DictRow:
    """What a link would do, as `peek_link`.

    Raises:
        NotFound: It was used, has expired, or never was; or whom it names is barred.
    """
    row = await peek_link(connection, secret)
    if row is None:
        raise NotFound(_DEAD_LINK)
    return row


async def use_link(connection: Connection, secret: str) -> DictRow:
    """Use a link up.

    Raises:
        NotFound: It was used, has expired, or never was; or whom it names is barred.
    """
    row = await _one(connection, "use_link", token_hash=digest(secret))
    if row is None:
        raise NotFound(_DEAD_LINK)
    return row


async def owner(connection: Connection) -> DictRow | None:
    """The first admin, or None before there is one."""
    return await _one(connection, "owner")


async def count_failures(connection: Connection, email: str, device: str | None) -> int:
    """Refused sign-ins in the last 15 minutes, by that device or (None) by strangers."""
    row = await _one(connection, "count_failures", email=email, device=device)
    assert row is not None
    return int(row["failures"])


async def record_failure(connection: Connection, email: str, device: str | None) -> None:
    """Count one more refused sign-in."""
    await connection.execute(_QUERIES["record_failure"], {"email": email, "device": device})


async def forget_failures(connection: Connection, email: str, device: str | None) -> None:
    """Clear a device's count after a good sign-in."""
    await connection.execute(_QUERIES["forget_failures"], {"email": email, "device": device})


async def tidy(connection: Connection) -> None:
    """Remove what is too old to matter."""
    await connection.execute(_QUERIES["tidy"])


async def _one(connection: Connection, query: str, **parameters: object) -> DictRow | None:
    return await (await connection.execute(_QUERIES[query], parameters)).fetchone()


async def _all(connection: Connection, query: str, **parameters: object) -> Sequence[DictRow]:
    return await (await connection.execute(_QUERIES[query], parameters)).fetchall()
