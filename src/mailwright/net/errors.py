"""What the network can refuse."""

from __future__ import annotations


class CannotListen(OSError):
    """An address that cannot be had; the text names it, and says why and what to do."""
