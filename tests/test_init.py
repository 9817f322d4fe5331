"""`opsbook init`: what it writes, what it refuses, and that the wheel carries it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from opsbook.core.errors import Conflict, Unavailable
from opsbook.core.settings import Settings
from opsbook.init import STARTER, write_starter
from tests.command_line import opsbook as typed
from tests.folders import open_folder
from tests.upping import finished, opsbook, up

ROOT = Path(__file__).resolve().parent.parent


def test_a_new_folder_holds_the_service_and_its_runbook(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "shop"
    assert write_starter(folder) == [folder / name for name in STARTER]
    assert (folder / "backend/main.py").read_text() == (ROOT / "backend/main.py").read_text()
    assert (folder / "RUNBOOK.md").read_text() == (ROOT / "RUNBOOK.md").read_text()
    assert sorted(path.name for path in (folder / "supabase/migrations").iterdir()) == sorted(
        path.name for path in (ROOT / "supabase/migrations").iterdir()
    )
    assert ".opsbook/" in (folder / ".gitignore").read_text()
    assert not list(folder.rglob("__pycache__"))


def test_every_variable_of_the_example_is_read(tmp_path: Path) -> None:
    write_starter(tmp_path / "shop")
    lines = (tmp_path / "shop/.env.example").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert "OPSBOOK_WEBHOOKS_TO_LOOPBACK" in names
    ours = {each.validation_alias.choices[0] for each in Settings.model_fields.values()}  # pyright: ignore
    service = re.findall(r"^    (\w+): ", (ROOT / "backend/config.py").read_text(), re.MULTILINE)
    assert set(names) - ours <= {name.upper() for name in service}


@pytest.mark.parametrize("taken", STARTER)
def test_nothing_is_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(Conflict, match=rf"already holds {taken}"):
        write_starter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_a_dangling_link_counts_as_taken(tmp_path: Path) -> None:
    (tmp_path / ".env.example").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Conflict):
        write_starter(tmp_path)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        write_starter(tmp_path / "file" / "shop")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (found,) = target.glob("*.whl")
    return found


def test_the_wheel_carries_the_starter_the_pages_and_the_sql(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    carried = {name.removeprefix("opsbook/starter/") for name in names if name.startswith("opsbook/starter/")}
    assert {"RUNBOOK.md", ".env.example", "backend/main.py", "supabase/config.toml"} <= carried
    assert {f"supabase/migrations/{path.name}" for path in (ROOT / "supabase/migrations").iterdir()} <= carried
    needed = {
        *ROOT.glob("src/opsbook/**/*.sql"),
        *ROOT.glob("src/opsbook/**/*.html"),
        *ROOT.glob("src/opsbook/**/*.css"),
    }
    assert {str(path.relative_to(ROOT / "src")) for path in needed} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".env"))]


def test_a_folder_written_by_the_wheel_runs_at_once(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_folder() as made:
        zipfile.ZipFile(wheel).extractall(made / "installed")
        monkeypatch.setenv("PYTHONPATH", str(made / "installed"))
        code, said, errors = finished(opsbook(made, "init", "shop"))
        assert code == 0, errors
        assert "cd shop && opsbook up" in said
        with up(made / "shop") as running:
            account = {"email": "ada@example.org", "password": "correct horse battery"}
            assert httpx.post(f"{running.url}/api/auth/sign-up", json=account).status_code == 201
            assert httpx.get(f"{running.url}/api/health").json()["database"] == "connected"
        asked = subprocess.run(
            [sys.executable, "-c", "import opsbook; print(opsbook.__file__)"], capture_output=True, check=True
        )
        assert asked.stdout.decode().startswith(str(made))


def test_init_says_what_it_would_do(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        told = typed("init", "shop", "--dry-run", "--json").json
    assert told["dry_run"] is True
    assert "shop/RUNBOOK.md" in told["written"]
    assert not (tmp_path / "shop").exists()


def test_init_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "backend").mkdir()
    refused = typed("init", str(tmp_path))
    assert refused.code == 3
    assert "already holds backend" in " ".join(refused.err.split())
