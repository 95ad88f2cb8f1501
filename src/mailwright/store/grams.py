"""The tokens by which text is found: pairs of characters in scripts without spaces, else triples.

What is no letter or digit counts as one separator, written `_`, however long. A token found is a candidate only:
the text decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

_MAX_TOKENS: Final = 40_000  # of one message; one with more is a candidate always
ALWAYS: Final = "___"  # its only token: no text has it, since runs are squeezed
_MAX_QUERY: Final = 40  # tokens of a needle that are asked for; more do not make it narrower
_SEPARATORS: Final = re.compile(r"[\W_]+")

# Scripts written without spaces, or where a word is a character or two: CJK, kana, hangul, bopomofo.
_DENSE: Final = "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"


def squeeze(folded: str) -> str:
    """Folded text with each run of separators as one `_`."""
    return _SEPARATORS.sub("_", folded)


def grams(folded: str) -> set[str]:
    """The tokens of a folded text."""
    text = "_" + squeeze(folded).strip("_") + "__"
    found = {text[at : at + 3] for at in range(len(text) - 2)} if text.isascii() else _mixed(text)
    return found if len(found) <= _MAX_TOKENS else {ALWAYS}


def query(folded: str) -> tuple[list[str], list[str]] | None:
    """What a text that holds `folded` must have: tokens, and prefixes of tokens. None: any text may hold it."""
    text = squeeze(folded)
    if not text.strip("_"):
        return None
    dense = _is_dense()
    tokens: set[str] = set()
    prefixes: set[str] = set()
    for at in range(len(text)):
        width = 2 if dense(text[at]) else 3
        token = text[at : at + width]
        (tokens if len(token) == width else prefixes).add(token)
    if tokens:
        return sorted(tokens, key=_commonness)[:_MAX_QUERY], []
    return [], [max(prefixes, key=len)]


@cache
def _is_dense() -> Callable[[str], object]:
    """Whether a character is of these scripts; compiled when it is needed, since that takes long."""
    return re.compile(_DENSE).match


def _mixed(text: str) -> set[str]:
    dense = _is_dense()
    return {text[at : at + 2] if dense(text[at]) else text[at : at + 3] for at in range(len(text) - 2)}


def _commonness(token: str) -> tuple[int, str]:
    """Tokens with separators are in nearly every text: the others first."""
    return token.count("_"), token
