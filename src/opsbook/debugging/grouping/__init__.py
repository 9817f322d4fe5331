"""Which events are the same problem: a fingerprint from what stays the same each time it happens. Pure."""

from opsbook.debugging.grouping.fingerprint import VERSION, Grouping, Part, group
from opsbook.debugging.grouping.titles import culprit, title

__all__ = ["VERSION", "Grouping", "Part", "culprit", "group", "title"]
