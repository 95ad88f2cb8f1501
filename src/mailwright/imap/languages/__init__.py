"""The languages in which texts for people can be sent (RFC 5255). What has no translation stays English."""

from __future__ import annotations

import re
from typing import Final

from mailwright.imap.languages.chinese import TEXTS

DEFAULT: Final = "i-default"
LANGUAGES: Final = ("en", "zh", DEFAULT)

_MAX_TEXT: Final = 500  # characters; no text of ours is longer without what a peer put into it
_HOLE: Final = "{}"


def choose_language(ranges: list[str]) -> str:
    """The first language that fits one of the ranges, as RFC 4647 3.4 looks it up; '' when none does."""
    for wanted in ranges:
        tag = wanted.lower()
        if tag in ("default", "*"):
            return DEFAULT
        while tag:
            if tag in LANGUAGES:
                return tag
            tag = tag.rpartition("-")[0]
    return ""


def translate(text: str, language: str) -> str:
    """An English text in this language."""
    return _translate(text, 3) if language == "zh" else text


def _translate(text: str, depth: int) -> str:
    if depth == 0 or not text or len(text) > _MAX_TEXT:
        return text
    sentence = text[0].upper() + text[1:]
    found = TEXTS.get(sentence)
    if found is not None:
        return found
    for pattern, template in _PATTERNS:
        match = pattern.fullmatch(sentence)
        if match is not None:
            return template.format(*[_translate(group, depth - 1) for group in match.groups()])
    return text


def _compile() -> list[tuple[re.Pattern[str], str]]:
    """Those with holes, the most definite first."""
    holed = sorted((text for text in TEXTS if _HOLE in text), key=lambda text: len(text.replace(_HOLE, "")))
    return [
        (re.compile(re.escape(text).replace(r"\{\}", "(.+?)"), re.DOTALL), TEXTS[text])
        for text in reversed(holed)
    ]


_PATTERNS: Final = _compile()
