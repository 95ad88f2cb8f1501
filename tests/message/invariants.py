"""What holds for any octets that were parsed."""

from __future__ import annotations

from message.imap_reader import check_body, check_envelope, read

from mailwright.message.content import UnknownEncoding, decoded_part, part_text
from mailwright.message.links import MAX_REFERENCES
from mailwright.message.links import from_record as from_links
from mailwright.message.parsed import ParsedMessage
from mailwright.message.parser import ParseLimits, parse_message
from mailwright.message.search import search_text
from mailwright.message.structure import (
    Part,
    body,
    bodystructure,
    envelope,
    envelope_utf8,
    find_part,
    from_record,
    part_numbers,
    root_of_record,
    to_record,
)
from mailwright.message.summary import summarize


def check(source: bytes, limits: ParseLimits = ParseLimits()) -> ParsedMessage:  # noqa: B008 - frozen
    """Parse, ask for everything, and check that it hangs together."""
    parsed = parse_message(source, limits=limits)
    root = parsed.root
    assert (root.header_start, root.end) == (0, len(source))
    check_tree(root, source)
    check_envelope(read(envelope(parsed)))
    assert b"\r" not in envelope_utf8(parsed)
    envelope_utf8(parsed).decode("utf-8")
    check_body(read(bodystructure(root)), extended=True)
    check_body(read(body(root)), extended=False)
    again = from_record(to_record(parsed))
    assert bodystructure(again) == bodystructure(root)
    assert repr(again) == repr(root)
    alone = root_of_record(to_record(parsed))
    assert (alone.header_start, alone.body_start, alone.end) == (0, root.body_start, root.end)
    for numbers, part in part_numbers(root):
        assert find_part(root, numbers) is part
    check_values(parsed, source)
    return parsed


def check_tree(part: Part, source: bytes) -> None:
    assert part.header_start <= part.body_start <= part.end
    if part.type == "text" or part.content_type in ("message/rfc822", "message/global"):
        assert part.lines == source.count(b"\n", part.body_start, part.end)
    at = part.body_start
    for child in part.children:
        assert child.header_start >= at
        assert child.end <= part.end
        check_tree(child, source)
        at = child.end
    if part.type == "message" and part.children:
        assert len(part.children) == 1
        assert (part.children[0].header_start, part.children[0].end) == (part.body_start, part.end)


def check_values(parsed: ParsedMessage, source: bytes) -> None:
    for field in parsed.headers:
        assert source[field.start : field.start + len(field.raw_name)] == field.raw_name
        assert field.start < field.value_start <= field.value_end <= field.end <= parsed.header_end
    assert len(parsed.preview) <= 200
    assert "\n" not in parsed.subject
    assert "\n" not in parsed.base_subject
    texts = [parsed.preview, parsed.subject, parsed.base_subject, parsed.message_id, *parsed.references]
    summary = summarize(parsed)
    assert len(from_links(summary.links).keys) <= MAX_REFERENCES + 1
    assert summary.size == len(source)
    assert not any(
        "\0" in text for text in summary if isinstance(text, str)
    )  # which PostgreSQL does not take
    texts += [
        text
        for name in ("from", "to", "cc", "bcc", "reply-to", "sender")
        for a in parsed.addresses(name)
        for text in a
    ]
    found = search_text(parsed, source, 100_000)
    texts += [found.body, found.sender, found.subject, *(value for _, value in found.headers)]
    for part in parsed.root.walk():
        texts += [part.filename, part_text(part, source, 10_000)]
        try:
            decoded_part(part, source)
        except UnknownEncoding:
            assert part.encoding not in ("7bit", "8bit", "binary", "base64", "quoted-printable", "x-uuencode")
    for text in texts:
        text.encode("utf-8")  # no lone surrogates
    assert parsed.date is None or isinstance(parsed.date, int)
    assert parsed.has_attachment in (True, False)
