"""A parsed message: its tree, and what lists, threads and previews ask of its header. All is computed when asked."""

from __future__ import annotations

import mmap

from mailwright.message.address import Address, parse_addresses
from mailwright.message.date import parse_date
from mailwright.message.header import HeaderField, decode_header, iterate_fields
from mailwright.message.part import Part
from mailwright.message.preview import has_attachment, preview
from mailwright.message.subject import base_subject
from mailwright.message.thread import message_ids


class ParsedMessage:
    """What `parse_message` returns. `fields` holds the raw value of each top-level field by lower-case name:
    those of address and reference fields joined, of all others the first. `header` is the block as read
    (within the limits).
    """

    __slots__ = ("_base", "_fields_list", "_subject", "fields", "header", "root", "size", "source")

    def __init__(
        self, source: bytes | mmap.mmap, root: Part, fields: dict[bytes, bytes], header: bytes
    ) -> None:
        self.source: bytes | mmap.mmap = source
        self.root: Part = root
        self.fields: dict[bytes, bytes] = fields
        self.header: bytes = header
        self.size: int = len(source)
        self._fields_list: list[HeaderField] | None = None
        self._subject: str | None = None
        self._base: tuple[str, bool] | None = None

    @property
    def header_end(self) -> int:
        """Where the body begins: after the blank line."""
        return self.root.body_start

    @property
    def headers(self) -> list[HeaderField]:
        """The top-level fields in their order, with offsets."""
        if self._fields_list is None:
            self._fields_list = iterate_fields(self.header)
        return self._fields_list

    @property
    def date(self) -> int | None:
        """Seconds since the epoch of the Date field, None when there is none to be read."""
        found = self.dated
        return found[0] if found is not None else None

    @property
    def dated(self) -> tuple[int, int] | None:
        """The same with the zone, in minutes east."""
        raw = self.fields.get(b"date")
        return parse_date(raw) if raw is not None else None

    @property
    def message_id(self) -> str:
        """The id without its angle brackets; "" when there is none."""
        found = message_ids(self.fields.get(b"message-id", b""))
        return found[0] if found else ""

    @property
    def in_reply_to(self) -> list[str]:
        """Message-ids without angle brackets."""
        return message_ids(self.fields.get(b"in-reply-to", b""))

    @property
    def references(self) -> list[str]:
        """Message-ids without angle brackets, the oldest first."""
        return message_ids(self.fields.get(b"references", b""))

    @property
    def subject(self) -> str:
        """Decoded, on one line."""
        if self._subject is None:
            self._subject = decode_header(self.fields.get(b"subject", b""))
        return self._subject

    @property
    def base_subject(self) -> str:
        """The base subject for sorting and threading (RFC 5256 2.1)."""
        return self._base_subject()[0]

    @property
    def is_reply(self) -> bool:
        """Whether the subject is that of a reply or forward (RFC 5256 2.1)."""
        return self._base_subject()[1]

    def _base_subject(self) -> tuple[str, bool]:
        if self._base is None:
            self._base = base_subject(self.subject)
        return self._base

    def addresses(self, name: str) -> list[Address]:
        """The mailboxes of "from", "to", "cc", "bcc", "reply-to" or "sender"."""
        raw = self.fields.get(name.encode("ascii", "replace"))
        return parse_addresses(raw) if raw is not None else []

    @property
    def preview(self) -> str:
        """At most 200 characters of what the message says (RFC 8970)."""
        return preview(self.root, self.source)

    @property
    def has_attachment(self) -> bool:
        """Whether there is something to be shown as an attachment (RFC 8621 4.1.4)."""
        return has_attachment(self.root)
