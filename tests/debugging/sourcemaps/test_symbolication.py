"""Frames of a minified script, read back; events as odd as they come."""

from __future__ import annotations

import copy
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.sourcemaps.source_map import SourceMap, read_source_map
from opsbook.debugging.sourcemaps.symbolication import addresses, scripts_of, symbolicate
from tests.debugging.sourcemaps.building import Build, build, event_at, frames_of

URL = "https://shop.example/static/app.min.js"
DEBUG_ID = "08661870-e17c-5154-aaae-985cd0d612ab"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def source_map(shop: Build) -> SourceMap:
    return read_source_map(shop.map)


def test_frames_are_those_of_the_source(shop: Build, source_map: SourceMap) -> None:
    event = event_at(URL, *shop.failing)
    before = copy.deepcopy(event)
    assert symbolicate(event, {URL: source_map}.get)
    caller, thrower = frames_of(event)
    assert (caller["filename"].rpartition("/")[2], caller["context_line"]) == (
        "app.ts",
        "  return convert(order.total, currency);",
    )
    assert (thrower["filename"].rpartition("/")[2], thrower["function"]) == ("rates.ts", "convert")
    assert (thrower["lineno"], thrower["colno"]) == (6, 11)
    assert thrower["context_line"] == '    throw new RangeError("no rate: " + label);'
    assert thrower["pre_context"][-1] == "  if (!currency) {"
    assert thrower["post_context"] == ["  }", "  return total * 2;", "}", ""]
    value = event["exception"]["values"][0]
    assert value["raw_stacktrace"] == before["exception"]["values"][0]["stacktrace"]
    assert not symbolicate(event, {URL: source_map}.get), "once is enough"


def test_frames_without_a_map_stay_as_they_are(shop: Build, source_map: SourceMap) -> None:
    event = event_at(URL, (99, 1), (0, 0), shop.failing[1])
    other = event_at("https://cdn.example/other.js", (1, 1))
    frames_of(event).extend([*frames_of(other), None, 7, {}, {"abs_path": URL, "lineno": "1", "colno": None}])
    before = copy.deepcopy(frames_of(event))
    assert symbolicate(event, {URL: source_map}.get)
    assert [index for index, frame in enumerate(frames_of(event)) if frame != before[index]] == [2]
    assert not symbolicate(other, {URL: source_map}.get)
    assert "raw_stacktrace" not in other["exception"]["values"][0]


def test_somebody_elses_code_is_not_ours(shop: Build) -> None:
    for changes in ({"ignoreList": [0, 1]}, {"sources": ["../node_modules/a/a.js", "../node_modules/b/b.js"]}):
        event = event_at(URL, shop.failing[1])
        assert symbolicate(event, {URL: read_source_map(json.dumps({**json.loads(shop.map), **changes}).encode())}.get)
        assert frames_of(event)[0]["in_app"] is False


def test_scripts_are_sought_by_debug_id_or_release() -> None:
    image = {"type": "sourcemap", "code_file": URL, "debug_id": DEBUG_ID}
    [script] = scripts_of(event_at(URL, (1, 1), debug_meta={"images": [image, None, {"type": "elf"}]}))
    assert (script.url, script.debug_id, script.release) == (URL, UUID(DEBUG_ID), None)
    [script] = scripts_of(event_at(URL, (1, 1), (1, 2), release="1.0", dist="7"))
    assert (script.debug_id, script.release, script.dist) == (None, "1.0", "7")
    assert not scripts_of(event_at(URL, (1, 1)))
    assert not scripts_of(event_at(URL, (1, 1), release="1.0") | {"platform": "python"})
    assert not scripts_of(event_at(URL, (1, 1), debug_meta={"images": [{**image, "debug_id": "no-uuid"}]}))
    assert len(scripts_of(event_at("x" * 5_000, (1, 1), release="1.0"))) == 0


@pytest.mark.parametrize(
    ("url", "known_as"),
    [
        (f"{URL}?v=1#x", [f"{URL}?v=1#x", URL, "~/static/app.min.js"]),
        (URL, [URL, "~/static/app.min.js"]),
        ("app:///dist/a.js", ["app:///dist/a.js", "~/dist/a.js"]),
        ("/srv/dist/a.js", ["/srv/dist/a.js", "~/srv/dist/a.js"]),
    ],
)
def test_a_script_is_known_by_its_address_and_by_its_path(url: str, known_as: list[str]) -> None:
    assert list(addresses(url)) == known_as


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10) | st.just(URL),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["values", "stacktrace", "frames", "abs_path", "lineno", "colno", "images", "code_file"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    st.fixed_dictionaries(
        {"platform": st.just("javascript")},
        optional=dict.fromkeys(("exception", "threads", "stacktrace", "release", "dist", "debug_meta"), json_values),
    )
)
def test_an_event_of_any_shape_is_survived(event: dict[str, Any]) -> None:
    everything = read_source_map(b'{"version":3,"sources":["a"],"mappings":"AAAA;AACA","names":[]}')
    scripts_of(event)
    symbolicate(event, lambda _: everything)


def test_strange_addresses_are_survived() -> None:
    everything = read_source_map(b'{"version":3,"sources":["http://["],"mappings":"AAAA","names":[]}')
    for url in ("http://[", "//[::1", "\0", "https://a\u2100b/", "~"):
        assert addresses(url)
        assert symbolicate(event_at(url, (1, 1), release="1"), lambda _: everything)
