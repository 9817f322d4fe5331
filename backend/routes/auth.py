"""Sign-up, sign-in, sign-out, and who am I."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from sqlalchemy import func, update

from backend import accounts, tokens
from backend.config import settings
from backend.database import as_user
from backend.dependencies import FromDevice, SignedIn
from backend.identity import User
from backend.passwords import hash_password, verify_password
from backend.problems import Problem, documented
from backend.tables import sessions

router = APIRouter(prefix="/api/auth", tags=["auth"])

_ADDRESS = r"^[^@\s\x00-\x1f\x7f-\x9f]{1,64}@[^@\s\x00-\x1f\x7f-\x9f]+\.[^@\s\x00-\x1f\x7f-\x9f]+$"

Email = Annotated[str, StringConstraints(max_length=254, pattern=_ADDRESS), AfterValidator(str.lower)]
"""Length by RFC 5321, in lower case, as Supabase keeps addresses; whether it exists is for a mail to find out."""


def encodable(password: SecretStr) -> SecretStr:
    """The password as it is.

    Raises:
        ValueError: It holds half a surrogate pair, which JSON can carry and no encoding can.
    """
    if any("\ud800" <= character <= "\udfff" for character in password.get_secret_value()):
        raise ValueError("holds half a surrogate pair")
    return password


Password = Annotated[SecretStr, Field(max_length=256), AfterValidator(encodable)]


class NewAccount(BaseModel):
    """The body of a sign-up."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Annotated[Password, Field(min_length=12)]


class Credentials(BaseModel):
    """The body of a sign-in."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password


class Person(BaseModel):
    """A signed-in person."""

    id: UUID
    email: str
    session_id: UUID


class Access(BaseModel):
    """What a sign-in gives."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - RFC 6750's name for the kind of token
    expires_at: AwareDatetime
    user: Person


@router.post("/sign-up", status_code=201, responses=documented(409))
def sign_up(body: NewAccount, device: FromDevice) -> Access:
    """Make an account and sign in."""
    try:
        account = accounts.create_account(body.email, hash_password(body.password.get_secret_value()))
    except accounts.EmailTakenError as error:
        raise Problem(409, "There is an account with this e-mail address already; sign in.") from error
    return _access(account, device)


@router.post("/sign-in", responses=documented(401))
def sign_in(body: Credentials, device: FromDevice) -> Access:
    """Sign in with e-mail and password."""
    account = accounts.find_account(body.email)
    right = verify_password(body.password.get_secret_value(), account.password_hash if account else None)
    if account is None or not right:
        raise Problem(401, "E-mail address or password is wrong.")
    return _access(account, device)


@router.post("/sign-out", status_code=204, responses=documented(401))
def sign_out(user: SignedIn) -> None:
    """End this session: its token is refused from now on."""
    with as_user(user) as connection:
        connection.execute(update(sessions).where(sessions.c.id == user.session_id).values(revoked_at=func.now()))


@router.get("/me", responses=documented(401))
def me(user: SignedIn) -> Person:
    """The person the token was issued to."""
    return _person(user)


def _access(account: accounts.Account, device: accounts.Device) -> Access:
    user = accounts.start_session(account, device)
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=settings.session_lifetime_seconds)
    return Access(access_token=tokens.issue(user, expires_at), expires_at=expires_at, user=_person(user))


def _person(user: User) -> Person:
    return Person(id=user.id, email=user.email, session_id=user.session_id)
