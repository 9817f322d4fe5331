"""Decoding of mappings: what an encoder wrote comes back, and nothing hostile gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.sourcemaps.mappings import MOST_SEGMENTS, NONE, Segment, decode_mappings

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
Line = list[Segment]

numbers = st.integers(0, 2**31 - 1)
segments = st.builds(Segment, st.integers(0, 2**20), st.integers(0, 9), numbers, numbers, st.integers(-1, 99))
lines = st.lists(st.lists(segments, max_size=5, unique_by=lambda segment: segment.generated_column), max_size=5)


def encode(script: list[Line]) -> str:
    """The mappings of a script's lines, as bundlers write them."""
    state = [0, 0, 0, 0]
    written: list[str] = []
    for line in script:
        column, parts = 0, list[str]()
        for segment in line:
            fields = [segment.generated_column - column]
            held = [segment.source, segment.line, segment.column]
            held += [segment.name] if segment.name != NONE else []
            fields += [now - before for now, before in zip(held, state, strict=False)]
            state[: len(held)] = held
            column = segment.generated_column
            parts.append("".join(map(vlq, fields)))
        written.append(",".join(parts))
    return ";".join(written)


def vlq(number: int) -> str:
    rest = abs(number) << 1 | (number < 0)
    digits = ""
    while True:
        rest, bits = rest >> 5, rest & 31
        digits += DIGITS[bits | (32 if rest else 0)]
        if not rest:
            return digits


@given(lines)
def test_every_position_leads_to_the_segment_at_or_before_it(script: list[Line]) -> None:
    mappings = decode_mappings(encode(script))
    for number, line in enumerate(script):
        ordered = sorted(line)
        for at, segment in enumerate(ordered):
            assert mappings.find(number, segment.generated_column) == segment
            end = ordered[at + 1].generated_column - 1 if at + 1 < len(ordered) else 2**31
            assert mappings.find(number, end) == segment
        assert line or mappings.find(number, 0) is None
        if ordered and ordered[0].generated_column > 0:
            assert mappings.find(number, ordered[0].generated_column - 1) is None
    assert mappings.find(len(script), 0) is None


def test_a_segment_may_say_that_its_part_comes_from_nowhere() -> None:
    mappings = decode_mappings("AAAA,C,CAAC")
    assert mappings.find(0, 0) == Segment(0, 0, 0, 0, NONE)
    assert mappings.find(0, 1) is None
    assert mappings.find(0, 2) == Segment(2, 0, 0, 1, NONE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("AA", "1, 4 or 5 fields"),
        ("AAAAAA", "1, 4 or 5 fields"),
        ("A AA", "no digit"),
        ("AAA\u00e9", "no digit"),
        ("AAAg", "end within a number"),
        ("D", "negative"),
        ("AADA", "negative"),
        ("AAAD", "negative"),
        ("ADAA", "negative"),
        ("AAAAD", "negative"),
        ("CAAA,FAAA", "negative"),
        ("gggggggC", "impossibly large"),
        ("AAgggggggCA", "impossibly large"),
        ("g" * 100, "at most 35 digits"),
    ],
)
def test_what_no_map_can_say_is_refused(text: str, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        decode_mappings(text)


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_huge_map_is_refused_before_it_is_read(separator: str) -> None:
    with pytest.raises(TooLarge, match="segments"):
        decode_mappings(separator * MOST_SEGMENTS)


@given(st.text(alphabet=DIGITS + ",;!\x00\u20ac"))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    try:
        mappings = decode_mappings(text)
    except Malformed:
        return
    assert len({len(part) for part in mappings}) == 1
    assert list(mappings.positions) == sorted(mappings.positions)
