"""How much of each attribute of an event is kept. Characters are code points.

Where Sentry publishes a limit ("Data Size Limits", develop.sentry.dev) it is the same or larger.
"""

from __future__ import annotations

from typing import Final

NAME_CHARACTERS: Final = 200
"""Release, transaction, logger, server and the fields of a user."""

ENVIRONMENT_CHARACTERS: Final = 64
PATH_CHARACTERS: Final = 512
"""File names, functions, modules, exception types."""

MESSAGE_CHARACTERS: Final = 8_192
TAG_KEY_CHARACTERS: Final = 200
TAG_VALUE_CHARACTERS: Final = 200
MOST_TAGS: Final = 100
MOST_EXCEPTIONS: Final = 50
MOST_FRAMES: Final = 250
"""Per stack: the outermost and the innermost halves are kept."""

MOST_THREADS: Final = 256
MOST_BREADCRUMBS: Final = 100
"""The last ones are kept."""

MOST_FINGERPRINT_PARTS: Final = 20
