"""The form in which text is compared by search."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import normalize

# What shows nothing: soft hyphens, joiners, marks of direction, variation selectors (NFKC_Casefold takes them out too).
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]+"
)
_DOTTED_I: Final = re.compile("i\u0307+")


def fold(text: str) -> str:
    """NFKC_Casefold, runs of white space as one space: the same on both sides of `fold(needle) in fold(hay)`.

    So it matters neither where lines of a field, a paragraph or HTML are broken, nor whether İ has its dot.
    """
    if text.isascii():
        folded = text.lower()
    else:
        folded = _UNSEEN.sub("", normalize("NFKC", text).casefold())
        folded = normalize("NFKC", _DOTTED_I.sub("i", folded))
    return " ".join(f"|{folded}|".split())[1:-1]  # white space at the ends stays
