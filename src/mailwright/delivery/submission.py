"""What a submission server may mend in a message of its own users (RFC 6409 8): Date, Message-ID, From, Bcc."""

from __future__ import annotations

import re

from mailwright.message.date import format_date
from mailwright.message.header import iterate_fields
from mailwright.message.thread import message_ids

MAX_HEADER = 1024 * 1024  # octets; a longer header section is left as it is

_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE)


def header_section(head: bytes) -> bytes:
    """The header section at the start of a message, with the empty line behind it; b'' when it has no end here."""
    if head.startswith(b"\r\n"):
        return b"\r\n"
    end = head.find(b"\r\n\r\n")
    return head[: end + 4] if end >= 0 else b""


def own_id(header: bytes) -> str:
    """The message-id in a header section, without angle brackets; '' without one."""
    found = _MESSAGE_ID.search(header)
    ids = message_ids(found[1]) if found is not None else []
    return ids[0] if ids else ""


def mend(header: bytes, sender: str, message_id: str, now: float) -> bytes:
    """The header section without Bcc (RFC 5322 3.6.3), with From, Date and Message-ID where they are missing.

    `header` ends with the empty line; `message_id` is without angle brackets.
    """
    kept = bytearray()
    names = set()
    position = 0
    for field in iterate_fields(header):
        kept += header[position : field.start]
        position = field.end
        name = field.name.lower()
        names.add(name)
        if name not in (b"bcc", b"resent-bcc"):
            kept += header[field.start : field.end]
    kept += header[position:]
    added = b""
    if b"from" not in names:
        added += f"From: <{sender}>\r\n".encode()
    if b"date" not in names:
        added += f"Date: {format_date(int(now))}\r\n".encode()
    if b"message-id" not in names:
        added += f"Message-ID: <{message_id}>\r\n".encode()
    return added + bytes(kept)
