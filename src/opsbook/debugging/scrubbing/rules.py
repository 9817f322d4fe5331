"""Which keys hold secrets, by what stands in their names, and what a team adds or takes away."""

from __future__ import annotations

import re
from typing import Final

import msgspec

SECRET_WORDS: Final = (
    "password", "passwd", "passphrase", "pwd", "secret", "credential", "authorization", "token", "cookie", "jwt",
    "api-key", "access-key", "private-key", "signing-key", "encryption-key", "session-id", "session-key", "csrf",
    "xsrf", "credit-card", "card-number", "cvv", "cvc", "connection-string",
)  # fmt: skip
"""A key that contains one of these, whatever its case and separators, holds a secret."""

SECRET_NAMES: Final = (
    "auth", "pass", "pw", "pin", "otp", "totp", "ssn", "iban", "session", "sid", "phpsessid", "bearer", "sentry-dsn",
    "database-url", "redis-url",
)  # fmt: skip
"""A key that is one of these holds a secret; as part of a longer name they mean something else."""

COUNTING_NAMES: Final = (
    "max-tokens", "min-tokens", "num-tokens", "total-tokens", "prompt-tokens", "completion-tokens", "input-tokens",
    "output-tokens", "token-count", "token-type", "token-limit", "token-usage", "secret-name",
)  # fmt: skip
"""Keys that contain such a word, but count, limit or name something."""

_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
_BYTES_REPR: Final = re.compile(r"^b(['\"])(.*)\1$", re.DOTALL)


class ScrubbingRules(msgspec.Struct, frozen=True):
    """What is filtered beyond the standard, and what is not.

    Keys are compared without case and separators: `X-Api-Key` is `xapikey`. `secret_keys` are added
    as whole names, `allowed_keys` are never filtered by name (their values still are by form).
    """

    secret_keys: frozenset[str] = frozenset()
    allowed_keys: frozenset[str] = frozenset()
    emails: bool = False
    """Whether e-mail addresses are filtered, too."""
    ip_addresses: bool = False
    """Whether addresses of clients are, too."""


class KeyJudge:
    """Says which keys hold secrets. `words` and `names` are what it looks for, in plain form."""

    def __init__(self, rules: ScrubbingRules) -> None:
        self.words = frozenset(map(plain, SECRET_WORDS))
        self.names = frozenset(map(plain, (*SECRET_NAMES, *rules.secret_keys))) - {""}
        self._harmless = frozenset(map(plain, (*COUNTING_NAMES, *rules.allowed_keys)))

    def is_secret(self, key: str) -> bool:
        """Whether a value under this key is a secret, whatever it looks like."""
        name = plain(key)
        if name in self._harmless:
            return False
        return name in self.names or any(word in name for word in self.words)


def plain(key: str) -> str:
    """A key's name without case and separators, and without the quotes of a repr of bytes."""
    return _SEPARATORS.sub("", _BYTES_REPR.sub(r"\2", key).lower())
