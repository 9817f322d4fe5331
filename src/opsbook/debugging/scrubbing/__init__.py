"""Takes passwords, tokens, cards and whatever else is told out of events and log records. Pure."""

from opsbook.debugging.scrubbing.rules import ScrubbingRules
from opsbook.debugging.scrubbing.scrubber import Scrubber
from opsbook.debugging.scrubbing.text import FILTERED

__all__ = ["FILTERED", "Scrubber", "ScrubbingRules"]
