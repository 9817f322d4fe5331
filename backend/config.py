"""Settings of the service, from the environment, then `.env.local`, then `.env` in the project's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Each field is overridden by the environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(
        env_file=(PROJECT / ".env", PROJECT / ".env.local"),
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr | None = Field(default_factory=lambda: _embedded("service.url"))
    """The service database; without it, the one that `opsbook up` runs in this project."""
    secret_key: SecretStr | None = Field(default_factory=lambda: _embedded("secret-key"))
    """Signs the access tokens; changing it signs everyone out."""

    database_pool_size: Annotated[int, Field(ge=1)] = 20
    """Connections kept open."""
    database_max_overflow: Annotated[int, Field(ge=0)] = 30
    """Connections opened above that under load, and closed afterwards."""
    database_pool_timeout_seconds: Annotated[float, Field(ge=0)] = 5.0
    """How long a request waits for a connection before it is answered 503."""
    database_statement_timeout_seconds: Annotated[int, Field(ge=1)] = 8
    """How long one statement of a request may run; Supabase gives its signed-in users as much."""

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)] = "INFO"
    """Least severe level that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL."""

    session_lifetime_seconds: Annotated[int, Field(ge=0)] = 7 * 24 * 3600
    """How long a sign-in is good for."""
    rate_limit_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Overrides the default in rate_limit.py."""
    rate_limit_per_hour: Annotated[int, Field(ge=1)] | None = None
    """Overrides the default in rate_limit.py."""


class NotConfiguredError(Exception):
    """A setting that the service cannot run without is missing."""


def required(secret: SecretStr | None, variable: str) -> str:
    """The value of a setting.

    Raises:
        NotConfiguredError: It is missing; says how to set it.
    """
    if secret is None:
        raise NotConfiguredError(f"{variable} is not set: put it in the environment or in .env, or run `opsbook up`")
    return secret.get_secret_value()


def _embedded(name: str) -> SecretStr | None:
    home = Path(os.environ.get("OPSBOOK_HOME") or ".opsbook")
    files = [home / name, PROJECT / home / name]
    return next((SecretStr(file.read_text(encoding="utf-8").strip()) for file in files if file.is_file()), None)


settings = Settings()
