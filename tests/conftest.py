"""What all tests share: one pair of clusters a test process, a fresh copy of each database a module, a server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import hypothesis
import psycopg
import pytest
from pydantic import AliasChoices

from opsbook.chapters import CHAPTERS
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.home import ClusterName
from opsbook.core.schema import apply_schema
from opsbook.core.settings import Settings, load_settings
from opsbook.database.migrations import apply_pending
from tests.folders import open_folder
from tests.serving import serving

ADMIN_TOKEN = "admin-token-of-the-tests"
MIGRATIONS = Path(__file__).parent.parent / "supabase" / "migrations"

_numbers = itertools.count(1)

# An example that a busy machine held up is no failure.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _no_inherited_configuration() -> None:
    """What the shell that runs the tests happens to have set must not steer them."""
    for field in Settings.model_fields.values():
        assert isinstance(field.validation_alias, AliasChoices)
        os.environ.pop(str(field.validation_alias.choices[0]), None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def clusters() -> Iterator[EmbeddedPostgres]:
    """Two embedded clusters in a folder that any account may enter."""
    with open_folder() as folder, EmbeddedPostgres(folder / "home") as postgres:
        yield postgres


@pytest.fixture(scope="session")
def _ops_template(clusters: EmbeddedPostgres) -> str:
    url = _create_database(clusters, "ops", "ops_template", template="template0")
    apply_schema(url, CHAPTERS)
    return "ops_template"


@pytest.fixture(scope="session")
def _service_template(clusters: EmbeddedPostgres) -> str:
    apply_pending(_create_database(clusters, "service", "service_template", template="postgres"), MIGRATIONS)
    return "service_template"


@pytest.fixture(scope="session")
def new_ops_database(clusters: EmbeddedPostgres, _ops_template: str) -> Callable[[], str]:
    """Makes an ops database of its own, with the packaged schema; gives its address."""
    return lambda: _create_database(clusters, "ops", f"ops_{next(_numbers)}", template=_ops_template)


@pytest.fixture
def empty_database(clusters: EmbeddedPostgres) -> str:
    """The address of a new database with nothing in it, as the role `opsbook` knows it."""
    name = f"empty_{next(_numbers)}"
    with psycopg.connect(clusters.superuser_url("ops"), dbname="template1", autocommit=True) as connection:
        connection.execute(f"create database {name} template template0 owner opsbook".encode())
    return clusters.urls["ops"].rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture(scope="module")
def ops_url(new_ops_database: Callable[[], str]) -> str:
    """A module's own ops database."""
    return new_ops_database()


@pytest.fixture(scope="module")
def service_url(clusters: EmbeddedPostgres, _service_template: str) -> str:
    """A module's own service database, with the reference service's tables."""
    return _create_database(clusters, "service", f"service_{next(_numbers)}", template=_service_template)


@pytest.fixture(scope="module")
def settings(ops_url: str, service_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a server on the module's databases."""
    return load_settings(
        ops_database_url=ops_url,
        database_url=service_url,
        admin_token=ADMIN_TOKEN,
        secret_key="0" * 64,
        home=tmp_path_factory.mktemp("home"),
    )


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[str]:
    """The control plane on the module's databases; its address."""
    with serving(settings) as address:
        yield address


@pytest.fixture(scope="module")
def api(server: str) -> Iterator[httpx.Client]:
    """A client with the admin token."""
    with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def anonymous(server: str) -> Iterator[httpx.Client]:
    """A client with no credential."""
    with httpx.Client(base_url=server, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def database(ops_url: str) -> Iterator[psycopg.Connection]:
    """A shell on the module's ops database, as an operator's psql would be: each statement commits."""
    with psycopg.connect(ops_url, autocommit=True, application_name="psql") as connection:
        yield connection


def _create_database(clusters: EmbeddedPostgres, cluster: ClusterName, name: str, *, template: str) -> str:
    owner = "opsbook" if cluster == "ops" else "postgres"
    with psycopg.connect(clusters.superuser_url(cluster), dbname="template1", autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} owner {owner}".encode())
        if cluster == "ops":
            connection.execute(f"alter role opsbook in database {name} set search_path = opsbook, public".encode())
    return clusters.urls[cluster].rsplit("/", 1)[0] + f"/{name}"
