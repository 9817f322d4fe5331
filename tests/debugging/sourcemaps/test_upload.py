"""Source maps as sentry-cli uploads them, and the releases it tells of."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from opsbook.core.settings import Settings
from tests.debugging.sourcemaps.building import Build, SentryCli, build, run
from tests.working import run_tasks

Database = psycopg.Connection[Any]
CHUNKS = "/api/0/organizations/any/chunk-upload/"
ASSEMBLE = "/api/0/organizations/any/artifactbundle/assemble/"


@pytest.fixture(scope="module")
def token(api: httpx.Client) -> str:
    made = {"name": "pipeline", "role": "operator", "scopes": ["errors:read", "errors:write"]}
    return api.post("/api/admin/tokens", json=made).json()["token"]


@pytest.fixture(scope="module")
def sentry_cli(server: str, token: str) -> SentryCli:
    return SentryCli(server, token)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, sentry_cli: SentryCli) -> Build:
    """The shop, built, with debug ids."""
    folder = tmp_path_factory.mktemp("shop")
    built = build(folder)
    assert sentry_cli("sourcemaps", "inject", folder).returncode == 0
    return built


def row(database: Database, query: str, *values: object) -> tuple[Any, ...]:
    found = database.execute(query.encode(), values).fetchone()
    assert found is not None
    return found


def test_sentry_cli_uploads_a_build_once(sentry_cli: SentryCli, shop: Build, database: Database) -> None:
    for _ in range(2):
        done = sentry_cli("sourcemaps", "upload", "--release", "shop@1.0", "--dist", "7", shop.script.parent)
        assert done.returncode == 0, done.stderr
    assert row(database, "select release, dist, files from source_map_bundles") == ("shop@1.0", "7", 1)
    assert row(database, "select debug_id, url from source_maps") == (shop.debug_id, "~/app.min.js.map")
    assert row(database, "select release, url from source_map_scripts") == ("shop@1.0", "~/app.min.js")
    assert row(database, "select count(*) from source_map_chunks") == (0,)
    audited = "select actor, action from security_audit where target_kind = 'source_map_bundle' order by id limit 1"
    assert row(database, audited) == ("pipeline", "source_map_bundle.create")


def test_bundlers_plugins_upload_likewise(server: str, token: str, shop: Build, database: Database) -> None:
    sentry = SentryCli(server, token, program="sentry")
    done = sentry("sourcemap", "upload", "--release", "plugin", shop.script.parent)
    assert done.returncode == 0, done.stderr
    assert row(database, "select files from source_map_bundles where release = 'plugin'") == (1,)


def test_a_map_inside_its_script_is_found(sentry_cli: SentryCli, tmp_path: Path, database: Database) -> None:
    built = build(tmp_path, "app.ts", "--sourcemap=inline")
    for step in ("inject", "upload"):
        assert sentry_cli("sourcemaps", step, tmp_path).returncode == 0
    assert row(database, "select url from source_maps where debug_id = %s", built.debug_id) == ("~/app.min.js",)


def test_a_large_build_comes_in_many_chunks(
    sentry_cli: SentryCli, tmp_path: Path, database: Database, shop: Build
) -> None:
    written = json.loads(shop.map)
    noise = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(40_000))
    written["sourcesContent"][0] += f"// {noise}"
    (tmp_path / "large.js").write_text("//\n//# sourceMappingURL=large.js.map")
    (tmp_path / "large.js.map").write_text(json.dumps(written))
    done = sentry_cli("sourcemaps", "upload", "--release", "large", tmp_path)
    assert done.returncode == 0, done.stderr
    assert row(database, "select files from source_map_bundles where release = 'large'") == (1,)


def test_strangers_and_readers_may_not_upload(server: str, shop: Build, api: httpx.Client) -> None:
    reader = {"name": "reader", "role": "viewer", "scopes": ["errors:read"]}
    for token in ("opsb_forged", api.post("/api/admin/tokens", json=reader).json()["token"]):
        done = SentryCli(server, token)("sourcemaps", "upload", "--release", "1", shop.script.parent)
        assert done.returncode == 1
        assert token not in done.stderr


def test_an_unknown_project_is_named(server: str, token: str, shop: Build) -> None:
    done = SentryCli(server, token, "nowhere")("sourcemaps", "upload", "--release", "1", shop.script.parent)
    assert done.returncode == 1
    assert "there is no project 'nowhere'" in done.stderr


def test_sentry_cli_tells_of_releases(sentry_cli: SentryCli, database: Database, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    run(*git, "init", "--quiet", cwd=tmp_path)
    run(*git, "commit", "--quiet", "--allow-empty", "--message=First", cwd=tmp_path)
    for step in (["new"], ["finalize"], ["set-commits", "--auto"], ["info"]):
        done = sentry_cli("releases", step[0], "shop@2.0", *step[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    query = "select project_id, released_at is not null, commit_id from error_releases where release = 'shop@2.0'"
    assert row(database, query) == (1, True, run("git", "rev-parse", "HEAD", cwd=tmp_path).strip())
    assert "shop@2.0" in sentry_cli("releases", "list").stdout
    assert sentry_cli("deploys", "new", "-r", "shop@2.0", "-e", "production").returncode == 0
    assert sentry_cli("deploys", "new", "-r", "other", "-e", "production").returncode == 1


def bundle(files: dict[str, bytes], manifest: dict[str, Any]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in files.items():
            archive.writestr(name, content)
    return b"SYSB\x02\0\0\0" + packed.getvalue()


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def send(api: httpx.Client, content: bytes) -> dict[str, Any]:
    """Upload a bundle in one chunk; gives how it was put together."""
    assert api.post(CHUNKS, files={"file_gzip": (sha1(content), gzip.compress(content))}).status_code == 200
    order = {"checksum": sha1(content), "chunks": [sha1(content)], "projects": ["1"]}
    answer = api.post(ASSEMBLE, json=order)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_broken_map_does_not_hold_up_the_others(api: httpx.Client, shop: Build, database: Database) -> None:
    maps = {"good.map": shop.map, "bad.map": b'{"version": 3, "mappings": "!"}'}
    files = {name: {"type": "source_map", "url": f"~/{name}"} for name in maps}
    assert send(api, bundle(maps, {"files": files}))["state"] == "ok"
    query = "select files, passed_over[1] from source_map_bundles order by id desc limit 1"
    assert row(database, query) == (1, "~/bad.map: '!' is no digit of a map's mappings")


def test_a_bundle_without_a_sound_map_is_refused_with_the_reason(api: httpx.Client) -> None:
    answer = send(api, bundle({"m": b"{}"}, {"files": {"m": {"type": "source_map", "url": "~/m"}}}))
    assert answer["state"] == "error"
    assert "not a source map" in answer["detail"]
    assert send(api, b"no zip")["detail"].startswith("the bundle is no zip file")


def test_a_missing_chunk_is_asked_for(api: httpx.Client) -> None:
    order = {"checksum": "0" * 40, "chunks": ["1" * 40, "2" * 40], "projects": ["default"]}
    answer = api.post(ASSEMBLE, json=order).json()
    assert (answer["state"], answer["missingChunks"]) == ("not_found", ["1" * 40, "2" * 40])


@pytest.mark.parametrize(
    ("field", "name", "content", "status"),
    [
        ("file", sha1(b"other"), b"this", 400),
        ("file", "../../etc/passwd", b"this", 400),
        ("file_gzip", sha1(b"this"), b"this", 400),
        ("file_gzip", "0" * 40, gzip.compress(bytes(64 * 1024 * 1024)), 413),
        ("file", sha1(bytes(600_000)), bytes(600_000), 413),
    ],
)
def test_a_chunk_that_is_not_what_it_says_is_refused(
    api: httpx.Client, field: str, name: str, content: bytes, status: int
) -> None:
    assert api.post(CHUNKS, files={field: (name, content)}).status_code == status


def test_what_nothing_uses_is_dropped(api: httpx.Client, shop: Build, database: Database, settings: Settings) -> None:
    files = {"m": {"type": "source_map", "url": "~/m"}}
    assert send(api, bundle({"m": shop.map, "old": b""}, {"files": files}))["state"] == "ok"
    (bundle_id,) = row(database, "select max(id) from source_map_bundles")
    database.execute("update source_map_bundles set uploaded_at = now() - interval '1 year' where id = %s", [bundle_id])
    database.execute("update source_maps set used_at = now() - interval '1 year' where bundle_id = %s", [bundle_id])
    database.execute("insert into source_map_chunks values (%s, 'x', now() - interval '2 hours')", [bytes(20)])
    run_tasks(settings, "tidy_source_maps")
    assert row(database, "select count(*) from source_map_bundles where id = %s", bundle_id) == (0,)
    assert row(database, "select count(*) from source_map_chunks where checksum = %s", bytes(20)) == (0,)
