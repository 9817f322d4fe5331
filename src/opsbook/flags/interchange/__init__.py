"""Flags from and to other systems' files; what could not be carried over is listed, never dropped in silence."""

from opsbook.flags.interchange.interface import Bundle, LeftBehind

__all__ = ["Bundle", "LeftBehind"]
