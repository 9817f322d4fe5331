"""Every dependency is explained in docs/dependencies.md, pinned with a hash, and comes from no address of anybody's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEVELOPMENT = [entry for group in PROJECT["dependency-groups"].values() for entry in group if isinstance(entry, str)]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=~!; ]", requirement)[0]


def test_each_is_explained() -> None:
    text = (ROOT / "docs/dependencies.md").read_text()
    explained = set(re.findall(r"^\| ([a-z0-9-]+) \|", text, re.MULTILINE)) - {"package"}
    assert explained == {name_of(entry) for entry in [*PROJECT["project"]["dependencies"], *DEVELOPMENT]}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_pins_each_with_hashes_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    pinned = re.findall(r"^([a-z0-9-]+)==\S+.*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    assert {name_of(entry) for entry in PROJECT["project"]["dependencies"]} <= set(pinned)


def test_the_development_lock_holds_the_runtime_lock() -> None:
    runtime, development = (
        set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements.lock", "requirements-dev.lock")
    )
    assert runtime <= development


def test_the_npm_lock_names_no_address() -> None:
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text()
