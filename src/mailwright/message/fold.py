"""The form in which text is compared by search."""

from __future__ import annotations

from unicodedata import normalize


def fold(text: str) -> str:
    """NFKC and case folding, the same on both sides of a comparison: `fold(needle) in fold(hay)`."""
    if text.isascii():
        return text.lower()
    return normalize("NFKC", normalize("NFKC", text).casefold())
