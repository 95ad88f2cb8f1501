"""SORT (RFC 5256 3, RFC 5957): the order of messages by the columns of the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cmp_to_key
from typing import Any, Final
from unicodedata import normalize

from mailwright.imap.syntax.sort import Criterion
from mailwright.message.header import decode_header

_STRING: Final = rb'(?:NIL|"(?:[^"\\]|\\.)*+")'
_LIST: Final = rb"(?:NIL|\((?:\(%b %b %b %b\))+\))" % ((_STRING,) * 4)
_FIRST: Final = rb"(?:NIL|\(\((%b) %b (%b) (%b)\)(?:\(%b %b %b %b\))*\))" % ((_STRING,) * 8)
_FROM: Final = re.compile(rb"\(%b %b %b" % (_STRING, _STRING, _FIRST))
_TO: Final = re.compile(rb"\(%b %b %b %b %b %b" % (_STRING, _STRING, _LIST, _LIST, _LIST, _FIRST))
_ESCAPE: Final = re.compile(rb"\\(.)")
_CACHED: Final = 200_000  # texts


def casemap(text: str) -> str:
    """The form in which i;unicode-casemap compares text (RFC 5051 2): its octets in UTF-8 order as the text does."""
    if text.isascii():
        return text.upper()
    titled = [title if len(title := char.title()) == 1 else char for char in text]
    return normalize("NFKD", "".join(titled))


def display(envelope: bytes, pattern: re.Pattern[bytes]) -> str:
    """The display name of the first address, else the address (RFC 5957 3), ready to be compared."""
    found = pattern.match(envelope)
    if found is None or found.group(2) is None:
        return ""
    name, local, domain = (_unquote(text) for text in found.groups())
    shown = decode_header(name).strip() if name else ""
    if not shown:
        shown = decode_header(local) + ("@" + decode_header(domain) if domain else "")
    return casemap(shown)


def _unquote(text: bytes) -> bytes:
    if text == b"NIL":
        return b""
    return _ESCAPE.sub(rb"\1", text[1:-1]) if b"\\" in text else text[1:-1]


def _same(value: Any) -> Any:
    return value


# RFC 5256 3: a message without a date that can be read was sent when it came.
SENT: Final = "coalesce(m.sent_at, p.internal_date)"
_KEYS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "ARRIVAL": ("p.internal_date", _same),
    "CC": ("m.copies", casemap),
    "DATE": (SENT, _same),
    "DISPLAYFROM": ("m.envelope", lambda envelope: display(envelope, _FROM)),
    "DISPLAYTO": ("m.envelope", lambda envelope: display(envelope, _TO)),
    "FROM": ("m.senders", casemap),
    "SIZE": ("m.size", _same),
    "SUBJECT": ("m.subject", casemap),
    "TO": ("m.recipients", casemap),
}


class Order:
    """Collects the keys of messages, then gives their order. `columns` is what to read of each message."""

    def __init__(self, criteria: Sequence[Criterion]) -> None:
        # RFC 6203 5: all that is found is found exactly, so RELEVANCY changes nothing.
        self._criteria = [one for one in criteria if one.key != "RELEVANCY"]
        self._keys = [_KEYS[one.key] for one in self._criteria]
        self._values: list[list[Any]] = [[] for _ in self._keys]
        self._known: dict[Any, Any] = {}
        self.columns = [column for column, _ in self._keys]

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Take rows of `columns`, in the order of sequence numbers."""
        for index, (_, prepare) in enumerate(self._keys):
            column = self._values[index]
            if prepare is _same:
                column.extend([row[index] for row in rows])
            elif prepare is casemap:
                column.extend([self._casemap(row[index]) for row in rows])
            else:
                column.extend([prepare(row[index]) for row in rows])

    def comparable(self, row: Sequence[Any]) -> Any:
        """What rows of `columns` with the UID behind them are put in order by, one by one."""
        values = [prepare(value) for (_, prepare), value in zip(self._keys, row[:-1], strict=True)]
        return cmp_to_key(self._compare)([*values, row[-1]])

    def _compare(self, left: Sequence[Any], right: Sequence[Any]) -> int:
        for one, this, that in zip(self._criteria, left, right, strict=False):
            if this != that:
                return 1 if (this < that) == one.reverse else -1
        return int(left[-1] - right[-1])

    def _casemap(self, text: str) -> str:
        """Most texts of a mailbox come again: each is kept once."""
        known = self._known.get(text)
        if known is None:
            known = casemap(text)
            if len(self._known) < _CACHED:
                self._known[text] = known
        return known

    def order(self, count: int) -> list[int]:
        """The places of `count` messages, counted from 0, in order; equal ones by sequence number."""
        order = list(range(count))
        for one, column in zip(reversed(self._criteria), reversed(self._values), strict=True):
            order.sort(key=column.__getitem__, reverse=one.reverse)
        return order
