"""Artifact bundles: what sentry-cli writes, and zip files made to hurt."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.sourcemaps import bundle as module
from opsbook.debugging.sourcemaps.bundle import Bundle

ID = "08661870-e17c-5154-aaae-985cd0d612ab"
MANIFEST = {
    "debug_id": "8da0b70f-4145-571c-8fab-5cb3e74c074f-1",
    "files": {
        "files/a.js": {"type": "minified_source", "url": "~/js/a.js", "headers": {"debug-id": ID}},
        "files/b.js": {"type": "minified_source", "url": "~/js/b.js", "headers": {"Sourcemap": "../maps/b.map"}},
        "files/a.map": {"type": "source_map", "url": "~/js/a.map", "headers": {"Debug-Id": ID}},
        "files/b.map": {"type": "source_map", "url": "~/maps/b.map"},
        "files/c.txt": {"type": "source", "url": "~/c.txt"},
    },
}


def packed(
    manifest: Any, files: Mapping[str, bytes] = MappingProxyType({}), compression: int = zipfile.ZIP_DEFLATED
) -> io.BytesIO:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        archive.writestr("manifest.json", manifest if isinstance(manifest, str) else json.dumps(manifest))
        for name, raw in files.items():
            archive.writestr(name, raw)
    return io.BytesIO(b"SYSB\x02\0\0\0" + content.getvalue())


def test_maps_know_their_scripts_by_debug_id_and_by_reference() -> None:
    bundle = Bundle(packed(MANIFEST))
    assert bundle.debug_id == UUID("8da0b70f-4145-571c-8fab-5cb3e74c074f")
    assert [(each.url, each.debug_id, each.scripts) for each in bundle.maps] == [
        ("~/js/a.map", UUID(ID), ["~/js/a.js"]),
        ("~/maps/b.map", None, ["~/js/b.js"]),
    ]


@pytest.mark.parametrize(
    "data", ["application/json;base64,e30=", "application/json;charset=utf-8;base64,e30=", ",%7B%7D"]
)
def test_a_map_may_be_inside_its_script(data: str) -> None:
    script = {"type": "minified_source", "url": "~/a.js", "headers": {"debug-id": ID, "sourcemap": f"data:{data}"}}
    bundle = Bundle(packed({"files": {"a.js": script}}))
    [inside] = bundle.maps
    assert (inside.debug_id, inside.scripts, bundle.read_map(inside)) == (UUID(ID), ["~/a.js"], b"{}")
    with pytest.raises(Malformed, match="not Base64"):
        bundle.read_map(inside._replace(path="data:;base64,!"))


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "files/../../a", "..\\a", "C:\\a"])
def test_a_path_that_leads_out_of_the_bundle_is_refused(path: str) -> None:
    with pytest.raises(Malformed, match="outside of itself"):
        Bundle(packed({"files": {path: {"type": "source_map", "url": "~/a"}}}))


def test_a_bomb_is_noticed_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle(packed({}, {"bomb": bytes(50_000_000), "small": bytes(600)}))
    with pytest.raises(TooLarge):
        bundle.read("bomb", 1_000_000)
    with pytest.raises(TooLarge):
        Bundle(packed(" " * 60_000_000))
    monkeypatch.setattr(module, "MOST_UNPACKED_BYTES", 1_000)
    assert len(bundle.read("small", 1_000_000)) == 600
    with pytest.raises(TooLarge):
        bundle.read("small", 1_000_000)


def test_a_size_that_the_directory_understates_helps_no_bomb() -> None:
    lying = (
        packed({}, {"bomb": bytes(5_000_000)}).getvalue().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 10))
    )
    with pytest.raises(Malformed):
        Bundle(io.BytesIO(lying)).read("bomb", 1_000)


def test_too_many_files_are_noticed_before_the_directory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 3)
    with pytest.raises(TooLarge, match="files"):
        Bundle(packed({}, dict.fromkeys("abcd", b"")))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_deflate_is_unpacked(compression: int) -> None:
    with pytest.raises(Malformed, match="otherwise than by deflate"):
        Bundle(packed({}, compression=compression))


@pytest.mark.parametrize(
    "manifest", ["", "[]", '{"files": []}', '{"files": {"a": 1}}', '{"a":' * 100_000, '{"files": {"a": {"url": 7}}}']
)
def test_a_manifest_that_is_none_is_refused(manifest: str) -> None:
    with pytest.raises(Malformed, match="manifest"):
        Bundle(packed(manifest))


def test_a_file_that_is_not_there_or_encrypted_is_refused() -> None:
    bundle = Bundle(packed(MANIFEST))
    with pytest.raises(Malformed, match="has no file"):
        bundle.read("files/a.map", 1_000)
    encrypted = bytearray(packed({}).getvalue())
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Malformed, match="encrypted"):
        Bundle(io.BytesIO(bytes(encrypted)))


@given(st.data())
def test_a_damaged_bundle_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(packed(MANIFEST, {"files/a.map": b"{}", "files/b.map": b"{}"}).getvalue())
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=8)):
        raw[at] = data.draw(st.integers(0, 255))
    try:
        bundle = Bundle(io.BytesIO(bytes(raw[: data.draw(st.integers(0, len(raw)))])))
        for each in bundle.maps:
            bundle.read_map(each)
    except (Malformed, TooLarge):
        pass
