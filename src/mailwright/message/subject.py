"""The base subject of RFC 5256 2.1, which ignores what replies and forwards add."""

from __future__ import annotations

import re
from typing import Final

MAX_SUBJECT: Final = 2048  # characters that are looked at

_BLOB: Final = re.compile(r"\[[^\[\]]*\] *")
_LEADERS: Final = re.compile(r"(?:(?:\[[^\[\]]*+\] *+)*(?:re|fwd?) *(?:\[[^\[\]]*\] *)?:| )+", re.IGNORECASE)


def base_subject(subject: str) -> tuple[str, bool]:
    """The base of a decoded subject, and whether it is that of a reply or forward (RFC 5256 2.1, steps 1 to 7)."""
    text = " ".join(subject[:MAX_SUBJECT].split())
    reply = False
    while True:
        text = text.rstrip(" ")  # step 2
        while text[-5:].lower() == "(fwd)":
            text = text[:-5].rstrip(" ")
            reply = True
        text, leader = _without_leaders(text)
        reply = reply or leader
        if text[:5].lower() != "[fwd:" or text[-1] != "]":  # step 6
            return text, reply
        text = text[5:-1]
        reply = True


def _without_leaders(text: str) -> tuple[str, bool]:
    """Steps 3 to 5."""
    reply = False
    if ":" not in text and text[:1] not in ("[", " "):
        return text, reply
    match = _LEADERS.match(text)
    if match is not None:
        reply = ":" in match.group()
        text = text[match.end() :]
    while True:  # no leader hides behind these: it would have taken them
        match = _BLOB.match(text)
        if match is None or match.end() == len(text):
            return text, reply
        text = text[match.end() :]
