"""What secrets look like inside a text, whatever their key is called. All patterns are RE2's: linear in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SHAPES: Final = (
    # JSON Web Tokens (RFC 7519): base64url parts, the first a JSON object.
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    # Our own tokens, and those of services that mark theirs with a prefix.
    r"opsb_[A-Za-z0-9_-]{8,}",
    r"A[KS]IA[0-9A-Z]{16}",
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}",
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9]{10,}|sk-[A-Za-z0-9_-]{20,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}|sbp_[a-f0-9]{20,}|AIza[A-Za-z0-9_-]{30,}",
)
"""Texts that are secrets by their form."""

PRIVATE_KEY: Final = r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?(?:-----END [A-Z0-9 ]*-----|\z)"
"""A key in PEM (RFC 7468), also one whose end was cut off."""

AUTHORIZATION: Final = r"(?i)\b((?:bearer|basic|digest|negotiate) +)[A-Za-z0-9._~+/=-]{8,}"
"""Credentials as in an Authorization header (RFC 9110, 11.6.2; RFC 6750)."""

URL_CREDENTIALS: Final = r"(://[^\s/:@'\"<>]{0,100}:)[^\s/@'\"<>]{1,200}@"
"""The password in `scheme://user:password@host`, as connection strings have it (RFC 3986, 3.2.1)."""

CARD: Final = r"\b(?:4|5[0-9]|2[2-7]|3[0-9]|6[0-9])(?:[ -]?[0-9]){11,18}\b"
"""What may be a payment card; its digits decide."""

CARD_DIGITS: Final = re.compile(
    r"""4[0-9]{12}(?:[0-9]{3}){0,2}                            # Visa
      | (?:5[1-5]|2[2-7])[0-9]{14}                            # Mastercard
      | 3[47][0-9]{13}                                        # American Express
      | 3(?:0[0-5]|[689][0-9])[0-9]{11} | 35[0-9]{14}         # Diners Club, JCB
      | 6(?:011|4[4-9][0-9]|5[0-9]{2}|2[0-9]{2})[0-9]{12,15}  # Discover, UnionPay
      | (?:50|5[6-8]|6[37])[0-9]{14,17}                       # Maestro""",
    re.VERBOSE,
)
"""First digits and lengths of the large networks (ISO/IEC 7812)."""

EMAIL: Final = r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
IP_ADDRESS: Final = r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}\b"

HINTS: Final = (
    *SHAPES,
    "-----BEGIN ",
    r"(?i:bearer|basic|digest|negotiate) +[A-Za-z0-9._~+/=-]{8}",
    r"://[^/\s\"]*@",
    r"(?:4|5[0-9]|2[2-7]|3[0-9]|6[0-9])(?:[ -]?[0-9]){11}",
)
"""Where serialised text may hold one of the above. Wider than they are: an escape, `\\n`, may stand
where they want the beginning of a word."""

_QUOTED: Final = r"b?\\?\"[^\"]*\"?|b?\\?'[^']*'?"
_BARE: Final = r"[^\s&;,\"'<>{}()\[\]]{3,}"


def assignment(words: Iterable[str]) -> str:
    """`key=value`, `key: value`, `"key": "value"` in a text: queries, forms, headers, reprs, log lines.

    Groups: what stands before the value, and the value. A key is anything with one of the words in
    it. Pairs of bytes (`b'cookie', b'…'`) are how ASGI servers keep headers, and a repr shows them.
    """
    separated = r"\s*(?:=>|=|:)\s*|\\?[\"'](?:\s*(?:=>|=|:)\s*|,\s*b)"
    return rf"(?i)((?:{_any_of(words)})[\w\[\]-]{{0,20}}(?:{separated}))((?:(?:bearer|basic) +)?(?:{_QUOTED}|{_BARE}))"


def quoted_assignment(words: Iterable[str]) -> str:
    """The same in a line of source, where only a literal is a secret: `password = read()` says nothing."""
    return rf"(?i)((?:{_any_of(words)})[\w\[\]\"'-]{{0,20}}\s*[=:]\s*)({_QUOTED})"


def _any_of(words: Iterable[str]) -> str:
    return "|".join(word.replace("-", "[_ -]?") for word in words)


def is_card(digits: str) -> bool:
    """Whether these are a payment card's digits, as far as its network and check digit say."""
    return CARD_DIGITS.fullmatch(digits) is not None and passes_luhn(digits)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
