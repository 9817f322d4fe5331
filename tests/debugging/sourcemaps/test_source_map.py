"""Source maps: what a real bundler writes is read as Node reads it; index maps, odd ones and hostile ones."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.sourcemaps import source_map
from opsbook.debugging.sourcemaps.source_map import SourceMap, name_of, pack, read_source_map, unpack
from tests.debugging.sourcemaps.building import Build, build, resolved_by_node

PLAIN: dict[str, Any] = {
    "version": 3,
    "sources": ["a.ts"],
    "sourcesContent": ["one\ntwo\r\nthree"],
    "names": ["first"],
    "mappings": "AAAAA,IACA;AACA",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(tmp_path_factory.mktemp("shop"))


def read(**changes: Any) -> SourceMap:
    return read_source_map(json.dumps({**PLAIN, **changes}).encode())


def test_every_position_of_a_real_bundle_is_read_as_node_reads_it(shop: Build) -> None:
    ours = unpack(pack(read_source_map(shop.map)))
    positions = [(number, at) for number, line in enumerate(shop.text.split("\n")[:2]) for at in range(len(line))]
    theirs = resolved_by_node(shop.script.with_suffix(".js.map"), positions)
    assert len(positions) > 100
    for (line, column), entry in zip(positions, theirs, strict=True):
        found = ours.find(line, column)
        # Node goes on with the last line's segment where a line begins without one.
        if found is None:
            assert entry == {} or entry["generatedLine"] < line or "originalSource" not in entry
            continue
        assert (found.line, found.column) == (entry["originalLine"], entry["originalColumn"])
        assert ours.sources[found.source].path in entry["originalSource"]


def test_a_real_bundle_shows_its_source(shop: Build) -> None:
    ours = read_source_map(shop.map)
    line, column = shop.failing[1]
    found = ours.find(line - 1, column - 1)
    assert found is not None
    assert ours.lines(found.source)[found.line].strip() == 'throw new RangeError("no rate: " + label);'


def test_the_name_is_that_of_the_identifier_at_the_very_position() -> None:
    named = read()
    assert [getattr(named.find(0, column), "name", None) for column in (0, 1, 4)] == ["first", None, None]


def test_an_index_map_is_one_map() -> None:
    sections = [
        {"offset": {"line": 0, "column": 0}, "map": PLAIN},
        {"offset": {"line": 1, "column": 10}, "map": {**PLAIN, "sources": ["b.ts"], "names": ["second"]}},
    ]
    joined = read_source_map(json.dumps({"version": 3, "sections": sections}).encode())
    places = [(0, 0), (1, 0), (1, 9), (1, 10), (1, 14), (2, 0)]
    found = [joined.find(*place) for place in places]
    assert [(joined.sources[one.source].path, one.line, one.name) for one in found if one] == [
        ("a.ts", 0, "first"),
        ("a.ts", 2, None),
        ("a.ts", 2, None),
        ("b.ts", 0, "second"),
        ("b.ts", 1, None),
        ("b.ts", 2, None),
    ]


def test_what_tools_add_or_leave_out_is_understood() -> None:
    assert read_source_map(b")]}'\n" + json.dumps(PLAIN).encode()).find(0, 0)
    rooted = read(sourceRoot="/src/", sources=[None, "b.ts"], sourcesContent=[None], ignoreList=[1])
    assert [source.path for source in rooted.sources] == ["", "/src/b.ts"]
    assert [source.is_ignored for source in rooted.sources] == [False, True]
    assert list(rooted.lines(0)) == []
    assert read(sources=[], names=[]).find(0, 0) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../src/app.ts", "src/app.ts"),
        ("webpack:///./src/app.ts?a1b2", "src/app.ts"),
        ("webpack://shop/./src/app.ts", "src/app.ts"),
        ("https://shop.example/src/app.ts", "src/app.ts"),
        ("file:///srv/app.ts", "srv/app.ts"),
        ("/srv/../../app.ts", "srv/app.ts"),
        ("", ""),
        ("..", ".."),
    ],
)
def test_a_sources_name_outlasts_builds(path: str, name: str) -> None:
    assert name_of(path) == name


def test_hostile_maps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nested = json.dumps({"version": 3, "sections": [{"offset": {"line": 0, "column": 0}, "map": {"version": 3}}]})
    raw = json.dumps(PLAIN).encode()
    broken = [
        raw[:-10],
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"version": 2}',
        b'{"version": 3, "sources": "a"}',
        b'{"version": 3, "mappings": 7}',
        b'{"a":' * 100_000,
        b'{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":' * 5_000,
        nested.replace('{"version": 3}', nested).encode(),
        nested.replace('"line": 0', '"line": -1').encode(),
        nested.replace('"line": 0', '"line": 4294967296').encode(),
        json.dumps({"version": 3, "sections": [json.loads(nested)["sections"][0]] * 2}).encode(),
    ]
    for one in broken:
        with pytest.raises(Malformed):
            read_source_map(one)
    reaching = {"offset": {"line": 0, "column": 1}, "map": PLAIN}
    sections = [{"offset": {"line": 0, "column": 0}, "map": PLAIN}, reaching]
    with pytest.raises(Malformed, match="reaches into the next"):
        read_source_map(json.dumps({"version": 3, "sections": sections}).encode())
    monkeypatch.setattr(source_map, "MOST_BYTES", 10)
    with pytest.raises(TooLarge):
        read_source_map(raw)


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(Malformed):
        read_source_map(raw)


@given(
    st.fixed_dictionaries(
        {"version": st.just(3)},
        optional={
            "mappings": st.sampled_from(["AAAA", "AAAAC;AACA", "", "A", "AAEEE,CAAAA"]),
            "sources": st.lists(st.none() | st.text(max_size=5), max_size=3),
            "sourcesContent": st.lists(st.none() | st.text(max_size=20), max_size=3),
            "names": st.lists(st.text(max_size=5), max_size=3),
            "sourceRoot": st.none() | st.text(max_size=5),
            "ignoreList": st.lists(st.integers(-5, 5), max_size=3),
        },
    )
)
def test_a_map_is_the_same_after_it_was_kept(written: dict[str, Any]) -> None:
    before = read_source_map(json.dumps(written).encode())
    after = unpack(pack(before))
    assert (after.mappings, list(after.sources), list(after.names)) == (before.mappings, before.sources, before.names)
    for column in range(3):
        found = after.find(0, column)
        assert found == before.find(0, column)
        assert found is None or after.lines(found.source) == before.lines(found.source)


def test_a_large_map_is_searched_quickly() -> None:
    large = read(mappings=",".join(["CAAC"] * 300_000), sourcesContent=["x" * 300_000])
    started = time.perf_counter()
    for column in range(1, 300_000, 30):
        assert large.find(0, column)
    assert (time.perf_counter() - started) / 10_000 < 50e-6
