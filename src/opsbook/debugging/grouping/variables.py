"""A message without what varies in it: ids, numbers, times, addresses, quoted values."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

LONGEST_MESSAGE: Final = 500
"""Characters that count; what differs further on is detail."""

MARK: Final = "<*>"
_PATTERNS: Final = {
    "url": r"\b[a-z][a-z0-9+.\-]{1,15}://[^\s'\"<>()\[\]]*[^\s'\"<>()\[\].,:;!?]",
    "email": r"[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63})+",
    "uuid": r"\b[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\b",
    "time": (
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+\-]\d\d:?\d\d)?)?\b"
        r"|\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?\d{1,2} "
        r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{4}"
        r"|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?\b"
    ),
    "ip": r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b|(?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])",
    "path": r"(?<![\w/])(?:[A-Za-z]:)?(?:[\\/][\w.@~+%\-]+){2,}/?",
    "quoted": r"\"[^\"\n]{0,300}\"|(?<!\w)'[^'\n]{0,300}'(?!\w)|`[^`\n]{0,300}`",
    "hex": r"\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]{0,40}\d)(?=[0-9]{0,40}[a-fA-F])[0-9a-fA-F]{7,}\b",
    "id": r"\b(?=(?:[A-Za-z_\-]{0,40}\d){3})(?=\d{0,40}[A-Za-z])[A-Za-z0-9_\-]{12,}\b",
    "number": (
        r"(?<![A-Za-z])[+\-]?\d+(?:[.,]\d+)*(?:[eE][+\-]?\d+)?"
        r"(?:\s?(?:ms|s|kB|KB|MB|GB|KiB|MiB|GiB|bytes|%))?(?![A-Za-z])"
        r"|(?<=[A-Za-z])\d{3,}\b"
    ),
}
"""In the order in which they are tried at each place."""

_VARIABLE: Final = re.compile("|".join(_PATTERNS.values()))


def without_variables(message: str) -> str:
    """The message with each variable part replaced: `user <*> not found`.

    By one and the same mark, since ids change their kind: of eight hexadecimal digits, one in forty
    is a decimal number.
    """
    return _without_variables(message[:LONGEST_MESSAGE])


@lru_cache(1_024)
def _without_variables(message: str) -> str:
    return " ".join(_VARIABLE.sub(MARK, message).split())
