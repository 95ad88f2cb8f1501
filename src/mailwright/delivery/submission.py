"""What a submission server may mend in a message of its own users (RFC 6409 8): Date, Message-ID, From, Bcc."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final

from mailwright.message.date import format_date
from mailwright.message.header import HeaderField, iterate_fields
from mailwright.message.thread import message_ids

MAX_HEADER = 1024 * 1024  # octets; a longer header section is left as it is
_REMEMBERED = 16 * 1024  # octets of a header section whose fields are found once
_BLIND = frozenset((b"bcc", b"resent-bcc"))


_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")
_FIELD: Final = re.compile(rb"^[!-9;-~]++[ \t]*+:", re.MULTILINE)


def header_section(head: bytes, whole: bool = True) -> bytes:
    """The header section at the start of a message, with the empty line behind it where there is one.

    A message may be nothing else (RFC 5322 3.5): `whole` tells that no more follows. b'' when the section has no
    end here, or holds no field, as where text was sent without a header.
    """
    if head.startswith(b"\r\n"):
        return b"\r\n"
    found = _EMPTY_LINE.search(head)
    if found is not None:
        head = head[: found.end()]
    elif not whole:
        return b""
    return head if _FIELD.search(head) is not None else b""


def header_fields(header: bytes) -> Sequence[HeaderField]:
    """The fields of a header section. Several rooms ask for those of the same one: they are found once."""
    return _remembered_fields(header) if len(header) <= _REMEMBERED else iterate_fields(header)


@functools.lru_cache(maxsize=64)
def _remembered_fields(header: bytes) -> Sequence[HeaderField]:
    return tuple(iterate_fields(header))


def own_id(header: bytes) -> str:
    """The message-id in a header section, without angle brackets; '' without one."""
    for field in header_fields(header):
        if field.name == b"message-id":
            ids = message_ids(header[field.value_start : field.value_end])
            return ids[0] if ids else ""
    return ""


def mend(header: bytes, sender: str, message_id: str, now: float) -> bytes:
    """The header section without Bcc (RFC 5322 3.6.3), with From, Date and Message-ID where they are missing.

    `header` is as `header_section` gives it; what follows b'' is text. `message_id` is without angle brackets.
    """
    fields = header_fields(header)
    names = {field.name for field in fields}
    kept = header if names.isdisjoint(_BLIND) else _without(header, fields, _BLIND)
    added = b""
    if b"from" not in names:
        added += f"From: <{sender}>\r\n".encode()
    if b"date" not in names:
        added += f"Date: {format_date(int(now))}\r\n".encode()
    if b"message-id" not in names:
        added += f"Message-ID: <{message_id}>\r\n".encode()
    if not header:
        added += b"\r\n"
    return added + kept if added else kept


def _without(header: bytes, fields: Sequence[HeaderField], names: frozenset[bytes]) -> bytes:
    kept: list[bytes] = []
    position = 0
    for field in fields:
        if field.name in names:
            kept.append(header[position : field.start])
            position = field.end
    return b"".join(kept) + header[position:]
