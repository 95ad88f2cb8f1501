"""Where the sections of a message lie in it (RFC 3501 6.4.5)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from mailwright.imap.syntax.fetch import Section
from mailwright.message.part import Part, find_message, find_part

MAX_HEADER: Final = 1024 * 1024  # octets of a header that are looked through for fields

Span = tuple[int, int]  # octets of the message, [start, stop)


def locate(root: Part, size: int, section: Section) -> Span | None:
    """The octets of a section, of HEADER.FIELDS those of the whole header; None when the message has no such part."""
    if not section.part and not section.text:
        return 0, size
    if section.text in ("", "MIME"):
        part = find_part(root, section.part)
        if part is None:
            return None
        return (part.header_start, part.body_start) if section.text else (part.body_start, part.end)
    message = find_message(root, section.part)
    if message is None:
        return None
    if section.text == "TEXT":
        return message.body_start, message.end
    return message.header_start, message.body_start


def cut(span: Span, partial: tuple[int, int] | None) -> Span:
    """The part of a span that `<start.count>` asks for."""
    if partial is None:
        return span
    start = min(span[0] + partial[0], span[1])
    return start, min(start + partial[1], span[1])


def choose_fields(block: bytes, fields: tuple[bytes, ...], inverted: bool) -> bytes:
    """The named fields of a header (or all others), with the blank line that ends it."""
    chosen = b"".join(_field_pattern(fields, inverted).findall(block))
    return chosen + (b"\r\n" if chosen.endswith(b"\n") or not chosen else b"\r\n\r\n")


@lru_cache(maxsize=500)
def _field_pattern(fields: tuple[bytes, ...], inverted: bool) -> re.Pattern[bytes]:
    names = b"|".join([re.escape(name) for name in fields])
    # Possessive, so that matching is linear whatever the header holds.
    name = rb"(?!(?:%b)[ \t]*+:)[!-9;-~]++" % names if inverted else rb"(?:%b)" % names
    return re.compile(rb"^%b[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+\n?" % name, re.IGNORECASE | re.MULTILINE)
