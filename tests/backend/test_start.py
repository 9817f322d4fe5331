"""The two ways to start the service, each in a project whose databases are the embedded ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the service in a project of its own, without a home."""
    for folder in ("backend", "supabase"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", ".temp"))
    return tmp_path


@pytest.fixture
def home(project: Path, service_url: str, ops_url: str) -> None:
    """What `opsbook up` leaves in that project."""
    folder = project / ".opsbook"
    folder.mkdir()
    for name, text in {"service.url": service_url, "ops.url": ops_url, "secret-key": "0" * 64}.items():
        (folder / name).write_text(text + "\n")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("folder", "app"), [(".", "backend.main:app"), ("backend", "main:app")])
def test_it_starts_from_the_project_and_from_its_own_folder(
    project: Path, folder: str, app: str, start_in_folder: Callable[[str, Path], httpx.Client]
) -> None:
    service = start_in_folder(app, project / folder)
    body = {"email": f"{app}@example.org", "password": "correct horse battery staple"}
    assert service.post("/api/auth/sign-up", json=body).status_code == 201
    assert service.get("/api/livez").status_code == 200
    assert service.get("/ops/sign-in").status_code == 200


def test_without_a_database_it_says_what_to_do(project: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", "import backend.main"], cwd=project, env=os.environ,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "DATABASE_URL is not set" in answer.stderr
    assert "opsbook up" in answer.stderr
