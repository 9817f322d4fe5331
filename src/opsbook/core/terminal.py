"""Text on a terminal: what a stranger wrote must not move the cursor, clear the screen or forge a line. Pure."""

from __future__ import annotations

import re
from typing import Final

UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters of both sets (ISO/IEC 6429), line and paragraph separators, and marks that turn the direction."""


def harmless(text: str) -> str:
    """The text on one line, with what would act on a terminal written out as in a Python string."""
    return UNSAFE.sub(lambda found: _written_out(found[0]), text)


def harmless_lines(text: str) -> str:
    """The same of each line of a longer text, such as a traceback."""
    return "\n".join(harmless(line) for line in text.expandtabs().splitlines())


def _written_out(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return short or (f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}")
