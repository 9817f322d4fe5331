"""Accounts in `auth.users`, and who is signed in to them: the only code that uses the database as its owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backend.database import as_owner
from backend.identity import User
from backend.tables import sessions, users

_SEEN_EVERY = timedelta(minutes=1)  # a write on every request would cost more than an exact time is worth
_MAY_SIGN_IN = and_(
    users.c.deleted_at.is_(None), or_(users.c.banned_until.is_(None), users.c.banned_until < func.now())
)


class EmailTakenError(Exception):
    """There is an account with that e-mail address already."""


@dataclass(frozen=True, slots=True)
class Account:
    """What sign-in needs to know of an account."""

    id: UUID
    email: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class Device:
    """Where a sign-in comes from, as far as the request tells."""

    ip: str | None
    user_agent: str | None


def create_account(email: str, password_hash: str) -> Account:
    """A new account, as Supabase's own sign-up would leave it; the address counts as confirmed.

    Raises:
        EmailTakenError: Someone has it already, or took it at this moment.
    """
    row = {
        "instance_id": UUID(int=0),
        "aud": "authenticated",
        "role": "authenticated",
        "email": email,
        "encrypted_password": password_hash,
        "email_confirmed_at": func.now(),
        "raw_app_meta_data": {"provider": "email", "providers": ["email"]},
        "raw_user_meta_data": {},
        "created_at": func.now(),
        "updated_at": func.now(),
        # Supabase's auth server expects empty strings here, not nulls.
        **dict.fromkeys(("confirmation_token", "recovery_token", "email_change_token_new", "email_change"), ""),
    }
    try:
        with as_owner() as connection:
            user_id = connection.execute(insert(users).values(row).returning(users.c.id)).scalar_one()
    except IntegrityError as error:
        raise EmailTakenError(email) from error
    return Account(user_id, email, password_hash)


def find_account(email: str) -> Account | None:
    """The account of an address that may sign in; None where there is none, or it is banned or deleted."""
    query = select(users.c.id, users.c.email, users.c.encrypted_password).where(
        users.c.email == email, users.c.encrypted_password.is_not(None), _MAY_SIGN_IN
    )
    with as_owner() as connection:
        row = connection.execute(query).one_or_none()
    return Account(row.id, row.email, row.encrypted_password) if row else None


def start_session(account: Account, device: Device) -> User:
    """Sign the account in."""
    with as_owner() as connection:
        session_id = connection.execute(
            insert(sessions)
            .values(user_id=account.id, ip=device.ip, user_agent=device.user_agent)
            .returning(sessions.c.id)
        ).scalar_one()
        connection.execute(update(users).where(users.c.id == account.id).values(last_sign_in_at=func.now()))
    return User(account.id, account.email, session_id)


def is_signed_in(user: User) -> bool:
    """Whether the session still stands and its account may sign in; notes that the person was here."""
    this = and_(sessions.c.id == user.session_id, sessions.c.user_id == user.id, sessions.c.revoked_at.is_(None))
    stale = sessions.c.last_seen_at < func.now() - _SEEN_EVERY
    query = select(stale.label("stale")).join(users, users.c.id == sessions.c.user_id).where(this, _MAY_SIGN_IN)
    with as_owner() as connection:
        row = connection.execute(query).one_or_none()
        if row and row.stale:
            connection.execute(update(sessions).where(this).values(last_seen_at=func.now()))
    return row is not None
