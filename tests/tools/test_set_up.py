"""Set-up on machines that lack something: what is brought, from where, and what is said where nothing can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import components
import environment
import pytest

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing on its path, used by somebody who may install nothing."""
    monkeypatch.setattr(components.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nonexistent")
    for variable in ("CHROMIUM", "REDIS_SERVER", "NODE", "NPM"):
        monkeypatch.delenv(variable, raising=False)


def test_python_without_ensurepip_names_debians_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match=rf"apt-get install python{VERSION}-venv"):
        environment.require_ensurepip()


def test_root_installs_debians_package(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([None, "now there"])
    installed: list[str] = []
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda _: next(found))
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    monkeypatch.setattr(environment.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(environment, "apt_install", installed.append)
    environment.require_ensurepip()
    assert installed == [f"python{VERSION}-venv"]


def test_an_old_python_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.sys, "version_info", (3, 10, 12))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed.*make up PYTHON="):
        environment.require_python()


def test_an_environment_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    assert not environment.usable(tmp_path / ".venv")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "before"], check=True)
    assert environment.usable(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    assert not environment.usable(tmp_path / "after")


@pytest.mark.usefixtures("bare")
def test_redis_and_node_come_from_the_lock_where_the_machine_has_none() -> None:
    for program in (components.find_redis(), components.find_node()):
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        assert "v=" in said or said.startswith("v")
    node = components.find_node()
    npm = subprocess.run([node, components.find_npm(node), "--version"], capture_output=True, text=True, check=True)
    assert int(npm.stdout.split(".")[0]) >= 10


@pytest.mark.usefixtures("bare")
def test_a_machine_without_curl_is_told_so() -> None:
    with pytest.raises(SystemExit, match="install Debian's `curl`"):
        components.find_curl()


def test_a_package_that_debian_cannot_give_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(package: str) -> None:
        raise SystemExit(f"error: no {package}")

    monkeypatch.setattr(components.os, "geteuid", lambda: 0)
    monkeypatch.setattr(components.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(components, "apt_install", refuse)
    assert components.from_debian("nothing", lambda: None) is None
