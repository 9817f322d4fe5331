"""Every environment variable Opsbook reads, declared once: type, default, meaning, secret or not.

Values come from the process, then `.env.local`, then `.env` in the working folder.
A database that is not named is the embedded cluster of `OPSBOOK_HOME`, where
`opsbook up` has left its address.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from opsbook.core.errors import Invalid, NotConfigured
from opsbook.core.http.client_address import TrustedProxies

Database = Literal["ops", "service"]


class Settings(BaseSettings):
    """The configuration of one Opsbook process."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    ops_database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("OPSBOOK_DATABASE_URL"),
        description="The ops database: flags, audit, incidents, deployments, errors.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="The service database: what is operated.",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("REDIS_URL"),
        description="Redis or Valkey for shared limits and cache; optional.",
    )
    cache_memory_bytes: int = Field(
        64 * 2**20,
        ge=0,
        validation_alias=AliasChoices("CACHE_MEMORY_BYTES"),
        description="Bytes of results that `cached` keeps in the memory of one process, over all functions.",
    )
    secret_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("SECRET_KEY"),
        description="Signs what the service hands to browsers; 32 random bytes as hex.",
    )
    admin_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("ADMIN_TOKEN"),
        description="Break-glass bearer token with the admin role.",
    )
    cron_secret: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("CRON_SECRET"),
        description="Bearer token of an outside scheduler calling /api/cron/{job}.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", validation_alias=AliasChoices("LOG_LEVEL"), description="Least severe level that is logged."
    )
    logs_kept_days: int = Field(
        7,
        ge=1,
        le=3650,
        validation_alias=AliasChoices("OPSBOOK_LOGS_KEPT_DAYS"),
        description="How many days log lines are kept in the ops database.",
    )
    release: str | None = Field(
        None,
        max_length=200,
        validation_alias=AliasChoices("OPSBOOK_RELEASE", "SENTRY_RELEASE", "VERCEL_GIT_COMMIT_SHA"),
        description="Release that this process runs, as its log lines name it.",
    )
    environment: str = Field(
        "development",
        validation_alias=AliasChoices("ENVIRONMENT"),
        description="Name of this environment, as shown on every page.",
    )
    sentry_dsn: SecretStr | None = Field(
        None, validation_alias=AliasChoices("SENTRY_DSN"), description="A Sentry project that errors are sent to."
    )
    supabase_url: str | None = Field(
        None, validation_alias=AliasChoices("SUPABASE_URL"), description="Base address of the Supabase project."
    )
    supabase_service_role_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("SUPABASE_SERVICE_ROLE_KEY"),
        description="Supabase key that bypasses row level security.",
    )
    supabase_project_ref: str | None = Field(
        None,
        validation_alias=AliasChoices("SUPABASE_PROJECT_REF"),
        description="Reference of the Supabase project, as in its dashboard address.",
    )
    vercel_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("VERCEL_TOKEN"), description="Token for Vercel's REST API."
    )
    vercel_project_id: str | None = Field(
        None,
        validation_alias=AliasChoices("VERCEL_PROJECT_ID"),
        description="Vercel project whose firewall is told of the address blocks; with VERCEL_TOKEN.",
    )
    vercel_team_id: str | None = Field(
        None, validation_alias=AliasChoices("VERCEL_TEAM_ID"), description="Vercel team that the project belongs to."
    )
    home: Path = Field(
        Path(".opsbook"),
        validation_alias=AliasChoices("OPSBOOK_HOME"),
        description="Folder of the embedded clusters, the admin token and the flag snapshots.",
    )
    url: str | None = Field(
        None,
        validation_alias=AliasChoices("OPSBOOK_URL"),
        description="Address of an `opsbook serve` that the kit follows over HTTP.",
    )
    token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("OPSBOOK_TOKEN"), description="API token that the kit presents there."
    )
    repository: str | None = Field(
        None, validation_alias=AliasChoices("OPSBOOK_REPOSITORY"), description="Where backups live."
    )
    errors_kept_days: int = Field(
        30,
        ge=1,
        le=3650,
        validation_alias=AliasChoices("OPSBOOK_ERRORS_KEPT_DAYS"),
        description="How many days the events of errors are kept, and issues after them; decided ones for a year.",
    )
    errors_full_per_hour: int = Field(
        100,
        ge=1,
        validation_alias=AliasChoices("OPSBOOK_ERRORS_FULL_PER_HOUR"),
        description="Events of one issue that are all kept within an hour; beyond, one in 10, 100 … is.",
    )
    user_tables: Path | None = Field(
        None,
        validation_alias=AliasChoices("OPSBOOK_USER_TABLES"),
        description="TOML file that says which tables of the service know what people did.",
    )
    trusted_proxies: str = Field(
        "",
        validation_alias=AliasChoices("OPSBOOK_TRUSTED_PROXIES"),
        description="Proxies whose Forwarded and X-Forwarded-For count: networks between commas, `unix` for a socket.",
    )
    webhooks_to_loopback: bool = Field(
        False,
        validation_alias=AliasChoices("OPSBOOK_WEBHOOKS_TO_LOOPBACK"),
        description="Whether a webhook's address may be this machine itself; for development.",
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _reachable(cls, value: SecretStr | None) -> SecretStr | None:
        # Here, and not at the first request: to be away is Redis's right, to have no address is a slip of the pen.
        if value is not None and not _is_redis_url(value.get_secret_value()):
            raise ValueError("it begins with redis://, rediss:// or unix://, and a port is a number")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            TrustedProxies.parse(value)
        except Invalid as error:
            raise ValueError(str(error)) from error  # pydantic hears of no other
        return value

    def url_of(self, database: Database) -> str | None:
        """The address of a database, or None where neither the environment nor `opsbook up` gives one."""
        named = self.ops_database_url if database == "ops" else self.database_url
        return named.get_secret_value() if named else self._embedded.get(database)

    def require_url(self, database: Database) -> str:
        """The address of a database.

        Raises:
            NotConfigured: Neither the environment nor an embedded cluster names it.
        """
        found = self.url_of(database)
        if found is None:
            variable = "OPSBOOK_DATABASE_URL" if database == "ops" else "DATABASE_URL"
            raise NotConfigured(
                f"no {database} database is known: set {variable}, or start the embedded one with `opsbook up`"
                f" (looked in {self.home.absolute()})"
            )
        return found

    @cached_property
    def _embedded(self) -> dict[str, str]:
        from opsbook.core.postgres.home import embedded_urls

        return embedded_urls(self.home)


def _is_redis_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:
        return False


def load_settings(folder: Path | None = None, **overrides: object) -> Settings:
    """The settings of this process, with overrides by field name.

    Args:
        folder: Where `.env`, `.env.local` and a relative OPSBOOK_HOME lie; the working folder where left out.
        overrides: Values that beat the environment's.

    Raises:
        NotConfigured: A variable has a value that makes no sense.
    """
    # By their variables' names: accepting field names would also read `home` from $HOME, and `url` from $URL.
    given = {_variable(name): value for name, value in overrides.items()}
    place = folder or Path()
    try:
        settings = Settings(_env_file=(place / ".env", place / ".env.local"), **given)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        # Without its cause, whose traceback would tell no more, and at length.
        raise NotConfigured("; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())) from None
    return settings.model_copy(update=_from_home(settings, place / settings.home))


def _from_home(settings: Settings, home: Path) -> dict[str, object]:
    """The home as found from here, and the secrets that `opsbook up` keeps in it, where none is set."""
    from opsbook.core.postgres.home import Home

    kept: dict[str, object] = {"home": home}
    for field, file in (("admin_token", "admin-token"), ("secret_key", "secret-key")):
        if getattr(settings, field) is None and (secret := Home(home).read(file)):
            kept[field] = SecretStr(secret)
    return kept


def _variable(field_name: str) -> str:
    alias = Settings.model_fields[field_name].validation_alias
    assert isinstance(alias, AliasChoices)
    return str(alias.choices[0])
