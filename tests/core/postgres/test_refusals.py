"""What keeps the clusters from starting, and that each says what to do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.core.errors import OpsbookError, Unavailable
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.errors import DiskFull, HomeUnusable, OtherMajorVersion

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


def refusal(home: Path) -> OpsbookError:
    with pytest.raises(Unavailable) as caught:
        EmbeddedPostgres(home).start()
    assert caught.value.exit_code == 3
    return caught.value


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    mounted = folder / "disk"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m,mode=755", "none", mounted], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(1 << 16)):
                pass
        except OSError:
            return


def test_cluster_of_another_major_version(folder: Path) -> None:
    data = folder / "home" / "postgres" / "service"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    error = refusal(folder / "home")
    assert isinstance(error, OtherMajorVersion)
    assert "made by Postgres 17, this is Postgres 18" in str(error)
    assert "pg_dumpall" in str(error)


def test_folder_that_is_no_cluster(folder: Path) -> None:
    (folder / "home" / "postgres" / "ops").mkdir(parents=True)
    error = refusal(folder / "home")
    assert isinstance(error, HomeUnusable)
    assert "not a Postgres data folder" in str(error)


def test_file_in_place_of_the_home(folder: Path) -> None:
    (folder / "home").write_text("")
    error = refusal(folder / "home")
    assert isinstance(error, HomeUnusable)
    assert "is not a folder" in str(error)


def test_home_below_a_file(folder: Path) -> None:
    (folder / "file").write_text("")
    assert isinstance(refusal(folder / "file" / "home"), HomeUnusable)


@needs_root
def test_unwritable_home(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    error = refusal(small_disk / "home")
    assert isinstance(error, HomeUnusable)
    assert "Read-only file system" in str(error)
    assert "--home" in str(error)


@pytest.mark.parametrize("name", ["up.lock", "log/postgres-ops.log", "passwords"])
def test_a_link_in_the_home_is_not_followed(folder: Path, name: str) -> None:
    precious = folder / "precious"
    precious.write_text("{}")
    (folder / "home" / "log").mkdir(parents=True)
    (folder / "home" / name).symlink_to(precious)
    error = refusal(folder / "home")
    assert isinstance(error, HomeUnusable)
    assert f"{name} is a symbolic link" in str(error)
    assert precious.read_text() == "{}"


@needs_root
@pytest.mark.parametrize("linked", [False, True])
def test_root_keeps_out_of_the_home_of_somebody_else(folder: Path, linked: bool) -> None:
    home = folder / "home"
    if linked:
        (folder / "root").mkdir()
        home.symlink_to(folder / "root")
    else:
        home.mkdir()
    os.chown(home, 65534, 65534, follow_symlinks=False)
    error = refusal(home)
    assert isinstance(error, HomeUnusable)
    assert "does not belong to root" in str(error)
    assert not list(home.iterdir())


@pytest.mark.parametrize("text", ["{", "[]", '{"postgres@ops": 1}', "\x00\xff"])
def test_damaged_passwords(folder: Path, text: str) -> None:
    (folder / "home").mkdir()
    (folder / "home" / "passwords").write_bytes(text.encode("latin-1"))
    error = refusal(folder / "home")
    assert isinstance(error, HomeUnusable)
    assert "passwords" in str(error)


def test_databases_that_moved_away(folder: Path) -> None:
    (folder / "home").mkdir()
    (folder / "home" / "postgres").symlink_to(folder / "gone")
    error = refusal(folder / "home")
    assert isinstance(error, HomeUnusable)
    assert "does not exist" in str(error)


@needs_root
@pytest.mark.parametrize("free_megabytes", [0, 20], ids=["at once", "while making"])
def test_full_disk_at_the_first_start(small_disk: Path, free_megabytes: int) -> None:
    (small_disk / "home").mkdir()
    fill(small_disk)
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - (free_megabytes << 20))
    error = refusal(small_disk / "home")
    assert isinstance(error, DiskFull), str(error)
    assert not list(small_disk.glob("home/postgres/*.new"))


@needs_root
def test_full_disk_at_a_later_start_and_recovery_once_freed(small_disk: Path) -> None:
    home = small_disk / "home"
    with EmbeddedPostgres(home):
        pass
    fill(small_disk)
    assert isinstance(refusal(home), DiskFull)
    (small_disk / "filler").unlink()
    with EmbeddedPostgres(home) as postgres:
        assert set(postgres.urls) == {"ops", "service"}
