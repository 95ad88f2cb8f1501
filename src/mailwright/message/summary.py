"""All that a store keeps of a message beside its octets, read in one go when it arrives."""

from __future__ import annotations

from typing import NamedTuple

from mailwright.message.address import decode_word, parse_raw
from mailwright.message.links import record_of
from mailwright.message.parsed import ParsedMessage
from mailwright.message.structure import bodystructure, envelope, to_record

_SORT_KEY = 64  # characters


class Summary(NamedTuple):
    """What `parse_message` found, in the words of the protocols that ask for it."""

    size: int
    sent_at: int | None  # seconds since the epoch
    sent_zone: int | None  # minutes east; None when `sent_at` is
    attachment: bool
    envelope: bytes  # as IMAP sends it
    bodystructure: bytes  # as IMAP sends it
    structure: bytes  # message.record.to_record
    preview: str
    subject: str  # the base subject
    senders: str  # sort keys: of From, To and Cc
    recipients: str
    copies: str
    links: bytes  # message.links.to_record
    message_id: str  # "" when there is none


def summarize(parsed: ParsedMessage) -> Summary:
    """Read it all. Never raises."""
    fields, message_id = parsed.fields, parsed.message_id
    sent_at, sent_zone = parsed.dated or (None, None)
    return Summary(
        parsed.size,
        sent_at,
        sent_zone,
        parsed.has_attachment,
        envelope(parsed),
        bodystructure(parsed.root),
        to_record(parsed),
        parsed.preview,
        parsed.base_subject,
        _sort_key(fields.get(b"from")),
        _sort_key(fields.get(b"to")),
        _sort_key(fields.get(b"cc")),
        record_of(parsed, message_id),
        message_id,
    )


def _sort_key(raw: bytes | None) -> str:
    """The local part of the first address, or the name of its group, upper-case, as RFC 5256 3 compares it."""
    if raw is None:
        return ""
    for _, _, local, _ in parse_raw(raw):
        if local is not None:
            return decode_word(local).replace("\0", "").upper()[:_SORT_KEY]  # PostgreSQL takes none
    return ""
