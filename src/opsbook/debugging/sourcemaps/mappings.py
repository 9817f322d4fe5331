"""The mappings of a source map (ECMA-426): from Base64 VLQ text to columns of numbers that are searched by halving."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from opsbook.debugging.protocol.errors import Malformed, TooLarge

MOST_SEGMENTS: Final = 2_000_000
"""Of one map, at 24 bytes each: more than scripts of 10 MB have."""
NONE: Final = -1
_LONGEST_SEGMENT: Final = 5 * 7
"""Five fields of 32 bits, five bits to a digit."""
_VALUE_OF: Final[Mapping[str, int]] = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
_CONTINUES: Final = 32
_LINE_SHIFT: Final = 32

Moves: TypeAlias = tuple[int, int, int, int, int, bool, bool]
"""How far a segment moves the generated column, source, line, column and name; whether it has a source, and a name."""


class Segment(NamedTuple):
    """Where a generated position comes from; lines and columns count from 0, columns in UTF-16 units."""

    generated_column: int
    source: int
    line: int
    column: int
    name: int
    """`NONE` where the map gives no name."""


class Mappings(NamedTuple):
    """Segments in the order of their generated positions, one array for each of their parts."""

    positions: array[int]
    """The generated line in the upper 32 bits, the column in the lower."""
    sources: array[int]
    lines: array[int]
    columns: array[int]
    names: array[int]

    def find(self, line: int, column: int) -> Segment | None:
        """The segment that covers a generated position, or None where that comes from no source."""
        at = bisect_right(self.positions, line << _LINE_SHIFT | column) - 1
        if at < 0 or self.positions[at] >> _LINE_SHIFT != line or self.sources[at] == NONE:
            return None
        generated_column = self.positions[at] & (1 << _LINE_SHIFT) - 1
        return Segment(generated_column, self.sources[at], self.lines[at], self.columns[at], self.names[at])

    def shifted(self, line: int, column: int, source: int, name: int) -> Mappings:
        """The same as a part of a larger map: it begins at a position there, its sources and names are numbered on."""
        by_line, first_line = line << _LINE_SHIFT, 1 << _LINE_SHIFT
        return Mappings(
            array("Q", (p + by_line + (column if p < first_line else 0) for p in self.positions)),
            array("i", (s + source if s != NONE else NONE for s in self.sources)),
            self.lines,
            self.columns,
            array("i", (n + name if n != NONE else NONE for n in self.names)),
        )


def empty_mappings() -> Mappings:
    return Mappings(array("Q"), array("i"), array("I"), array("I"), array("i"))


def decode_mappings(text: str) -> Mappings:
    """The segments of a map's `mappings`.

    Raises:
        Malformed: A digit, a field or a position that no map can have.
        TooLarge: More than `MOST_SEGMENTS`.
    """
    if text.count(",") + text.count(";") >= MOST_SEGMENTS:
        raise TooLarge(f"the map has more than {MOST_SEGMENTS:,} segments; split the script")
    try:
        return _in_order(_decoded(text))
    except OverflowError as error:  # the arrays take what fits into 32 bits, and in lines and columns nothing negative
        raise Malformed("the mappings lead to a negative or an impossibly large position") from error


def _decoded(text: str) -> Mappings:
    decoded = empty_mappings()
    add_position, add_source, add_line, add_column, add_name = (part.append for part in decoded)
    known: dict[str, Moves] = {}  # the same few thousand segments come again and again
    source = line = column = name = 0
    for number, group in enumerate(text.split(";")):
        generated = number << _LINE_SHIFT
        for segment in group.split(","):
            if not segment:
                continue
            moves = known.get(segment) or known.setdefault(segment, _moves(segment))
            generated += moves[0]
            source += moves[1]
            line += moves[2]
            column += moves[3]
            name += moves[4]
            if generated >> _LINE_SHIFT != number or source < 0 or name < 0:
                raise OverflowError
            add_position(generated)
            add_source(source if moves[5] else NONE)
            add_line(line)
            add_column(column)
            add_name(name if moves[6] else NONE)
    return decoded


def _moves(segment: str) -> Moves:
    fields = _fields(segment)
    if len(fields) not in {1, 4, 5}:
        raise Malformed(f"a segment of a map has 1, 4 or 5 fields, {segment[:_LONGEST_SEGMENT]!r} has {len(fields)}")
    generated, source, line, column, name = fields + [0] * (5 - len(fields))
    return generated, source, line, column, name, len(fields) > 1, len(fields) == 5


def _fields(segment: str) -> list[int]:
    """The numbers in a segment: five bits a digit, the lowest first; the lowest bit of all is the sign."""
    if len(segment) > _LONGEST_SEGMENT:
        raise Malformed(f"a segment of a map has at most {_LONGEST_SEGMENT} digits, one here has {len(segment)}")
    fields: list[int] = []
    value = shift = 0
    for digit in segment:
        bits = _VALUE_OF.get(digit)
        if bits is None:
            raise Malformed(f"{digit!r} is no digit of a map's mappings")
        value |= (bits & _CONTINUES - 1) << shift
        shift += 5
        if bits < _CONTINUES:
            fields.append(-(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    if shift:
        raise Malformed(f"the mappings end within a number, {segment!r}")
    return fields


def _in_order(mappings: Mappings) -> Mappings:
    """By generated position; nearly all maps are so already, but none has to be."""
    positions = mappings.positions
    if all(map(int.__le__, positions, positions[1:])):
        return mappings
    order = sorted(range(len(positions)), key=positions.__getitem__)
    return Mappings(*(array(part.typecode, map(part.__getitem__, order)) for part in mappings))
