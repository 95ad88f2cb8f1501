"""Message-ids as the world writes them."""

from __future__ import annotations

import re
from typing import Final

from mailwright.message.header import unfold

MAX_IDS: Final = 200  # of one field; a long thread needs its first and its last ones
MAX_ID: Final = 998

_TAB: Final = 9
_BLANK: Final = 32
_QUOTE: Final = 34
_ID: Final = re.compile(rb"<([^<>]{1,998})>")
_BARE: Final = re.compile(rb"[^\s<>,;\"()@]++@[^\s<>,;\"()]++")
_QUOTED: Final = re.compile(rb"\"((?:[^\"\\]|\\.)*+)\"")
_ESCAPED: Final = re.compile(rb"\\(.)")
_SPACE: Final = re.compile(rb"[ \t\r\n]+")


def message_ids(raw: bytes) -> list[str]:
    """The ids in a field, in order, without angle brackets, quotes taken off (RFC 5256 3, RFC 5322 3.6.4).

    Each stands once, but the last one, which names the message that is answered, stays the last wherever else it is.
    White space within an id (from bad folding) is dropped; where no id stands in angle brackets, what looks like
    one counts. Of more than `MAX_IDS` the first one and the last ones are kept.
    """
    raw = unfold(raw)
    if not raw:
        return []
    found = _ID.findall(raw) or _BARE.findall(raw)
    ids = [name for item in found if (name := _normal(item))]
    if len(ids) > 1:
        last = ids[-1]
        ids = list(dict.fromkeys(ids))
        if ids[-1] != last:
            ids.append(last)
    return ids if len(ids) <= MAX_IDS else ids[:1] + ids[1 - MAX_IDS :]


def _normal(raw: bytes) -> str:
    if _QUOTE in raw:
        raw = _QUOTED.sub(lambda found: _ESCAPED.sub(rb"\1", found.group(1)), raw)
    if _BLANK in raw or _TAB in raw:
        raw = _SPACE.sub(b"", raw)
    return raw[:MAX_ID].decode("utf-8", "replace").replace("\0", "")
