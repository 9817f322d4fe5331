"""Snapshots: changes between them, and the file that outlives every server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsbook.flags.client import Flags
from opsbook.flags.keeper import Keeper
from opsbook.flags.model import Flag
from opsbook.flags.snapshot import EMPTY, Snapshot, SnapshotUnusable, read_snapshot, write_snapshot
from tests.flags.helpers import until
from tests.flags.sources import Scripted
from tests.flags.test_evaluation import flags
from tests.folders import open_folder


def renamed(flag: Flag, name: str) -> Flag:
    return msgspec.structs.replace(flag, name=name)


named_alike = st.builds(renamed, flags, st.sampled_from("abcd"))
states = st.lists(named_alike, max_size=4, unique_by=lambda flag: flag.name)
FLAG = Flag(name="kept", enabled=True, revision=7)


@settings(max_examples=50)
@given(states, st.integers(0, 2**62))
def test_what_is_written_is_read_again(state: list[Flag], revision: int) -> None:
    written = Snapshot.of(revision, state)
    with open_folder() as folder:
        file = folder / "flags.json"
        write_snapshot(file, written)
        assert read_snapshot(file) == written
        assert file.stat().st_mode & 0o077 == 0


@given(states, states)
def test_the_changes_since_a_snapshot_lead_from_it_to_the_other(before: list[Flag], after: list[Flag]) -> None:
    old, new = Snapshot.of(1, before), Snapshot.of(2, after)
    assert old.changed(2, new.since(old)) == new
    assert new.since(new) == {}


def emptied(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:0])


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def without_body(file: Path) -> None:
    file.write_bytes(file.read_bytes().partition(b"\n")[0])


def damaged(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"enabled":true', b'"enabled":false'))


def newer(file: Path) -> None:
    head, _, body = file.read_bytes().partition(b"\n")
    header = msgspec.json.decode(head)
    file.write_bytes(msgspec.json.encode({**header, "format": header["format"] + 1}) + b"\n" + body)


def binary(file: Path) -> None:
    file.write_bytes(os.urandom(4096))


def foreign(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    os.chown(file, 12345, 12345)


def as_another(file: Path) -> None:
    file.write_bytes(b"{}\n[]")


@pytest.mark.parametrize("spoil", [emptied, truncated, without_body, damaged, newer, binary, foreign, as_another])
def test_a_file_that_cannot_be_trusted_is_refused_and_the_kit_goes_on(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    file = tmp_path / "flags-scripted.json"
    write_snapshot(file, Snapshot.of(7, [FLAG]))
    spoil(file)
    with pytest.raises(SnapshotUnusable):
        read_snapshot(file)
    kit = Flags(Scripted(), tmp_path)
    assert kit.snapshot is EMPTY
    assert kit.enabled("kept") is False
    assert kit.enabled("kept", default=True) is True


def test_a_file_too_large_to_be_ours_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    with file.open("wb") as opened:
        opened.truncate(65 * 1024 * 1024)
    with pytest.raises(SnapshotUnusable, match="larger than"):
        read_snapshot(file)


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file where the folder should be")
    kit = Flags(Scripted(), tmp_path / "occupied")
    kit.receive(Snapshot.of(7, [FLAG]))
    assert kit.enabled("kept")


def test_the_first_state_is_on_disk_at_once_and_later_ones_within_a_second(tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    keeper = Keeper(file)
    keeper.keep(Snapshot.of(1, [FLAG]))
    assert read_snapshot(file).revision == 1
    for revision in (2, 3, 4):
        keeper.keep(Snapshot.of(revision, [FLAG]))
    until(lambda: read_snapshot(file).revision == 4, within=1.5)


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    kit = Flags(Scripted(), tmp_path)
    for revision in (1, 2):
        kit.receive(Snapshot.of(revision, [FLAG]))
    kit.close()
    assert Flags(Scripted(), tmp_path).snapshot.revision == 2


def test_no_half_written_file_is_left(tmp_path: Path) -> None:
    for revision in range(5):
        write_snapshot(tmp_path / "flags.json", Snapshot.of(revision, [FLAG]))
    assert [path.name for path in tmp_path.iterdir()] == ["flags.json"]
