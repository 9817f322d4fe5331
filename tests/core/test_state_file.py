"""The file for bad days: written whole, read only where it can be trusted."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from opsbook.core.state_file import State, StateFile

KIND = "things 1"


def test_the_first_state_is_there_at_once_and_the_last_after_a_flush(tmp_path: Path) -> None:
    path = tmp_path / "home" / "things"
    file = StateFile(path, KIND)
    assert file.read() is None
    file.keep(1, lambda: b"one")
    assert StateFile(path, KIND).read() == State(1, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for revision in (2, 3):
        file.keep(revision, lambda revision=revision: f"state {revision}\n".encode())
    file.flush()
    assert StateFile(path, KIND).read() == State(3, b"state 3\n")
    assert [each.name for each in path.parent.iterdir()] == ["things"], "nothing half-written is left"


def test_what_is_there_already_is_not_encoded(tmp_path: Path) -> None:
    def never() -> bytes:
        raise AssertionError("encoded")

    StateFile(tmp_path / "things", KIND).keep(1, lambda: b"one")
    StateFile(tmp_path / "things", KIND).keep(1, never)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "of another kind", "a folder"])
def test_what_cannot_be_trusted_is_not_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "things"
    StateFile(path, "other 1" if damage == "of another kind" else KIND).keep(1, lambda: b"one and two")
    whole = path.read_bytes()
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"cut": whole[:-3], "changed": whole[:-1] + b"?", "empty": b""}.get(damage, whole))
    file = StateFile(path, KIND)
    assert file.read() is None
    file.keep(2, lambda: b"anew")
    assert file.read() == (None if damage == "a folder" else State(2, b"anew"))


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    StateFile(tmp_path / "file" / "things", KIND).keep(1, lambda: b"one")
    StateFile(None, KIND).keep(1, lambda: b"one")
