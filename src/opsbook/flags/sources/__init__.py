"""Where the kit's flags come from: one seam, one interface, two sources."""

from opsbook.flags.sources.interface import Receiver, Source

__all__ = ["Receiver", "Source"]
