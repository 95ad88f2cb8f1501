"""What a search looks at: the decoded header fields and the text of a message (RFC 9051 6.4.4)."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Final, NamedTuple

from mailwright.message.address import parse_addresses
from mailwright.message.content import UnknownEncoding, decoded_part, html_to_text, part_text
from mailwright.message.document import MAX_DOCUMENT, SIGNATURE, document_text
from mailwright.message.header import decode_header, iterate_fields
from mailwright.message.parsed import ParsedMessage
from mailwright.message.part import Part

_WITH_ADDRESSES: Final = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))
_SIGNATURE_BASE64: Final = b"UEsDB"
MAX_HEADER_TEXT: Final = 64 * 1024  # octets of the header of a message within, and of all MIME headers
MAX_PDF: Final = 16 * 1024 * 1024  # octets of an attached PDF
_MAX_PDFS: Final = 10  # of one message
_PDF: Final = (b"%PDF-", b"JVBERi0")  # how a PDF begins, and how it does in base64


class Attached(NamedTuple):
    """Where an attached document lies in its message, and its transfer encoding."""

    start: int
    stop: int
    encoding: str


class SearchText(NamedTuple):
    """Decoded text, not folded: apply `fold.fold` to it and to what is sought."""

    sender: str  # the From field
    to: str
    cc: str
    bcc: str
    subject: str
    headers: list[tuple[str, str]]  # lower-case name and decoded value; "": a part's MIME header
    body: str  # the text parts and office documents, those of attached messages too, one after the other
    pdfs: list[Attached]  # whose text somebody else must read


def search_text(parsed: ParsedMessage, source: bytes | mmap.mmap, limit_bytes: int) -> SearchText:
    """All of a message that can be found as text; of its parts at most `limit_bytes` octets as encoded."""
    header = parsed.header
    headers = [
        (field.name.decode("ascii"), _field_text(field.name, header[field.value_start : field.value_end]))
        for field in parsed.headers
    ]
    headers += [("", text) for text in _of_parts(parsed, source)]
    get = parsed.fields.get
    return SearchText(
        decode_header(get(b"from", b"")),
        decode_header(get(b"to", b"")),
        decode_header(get(b"cc", b"")),
        decode_header(get(b"bcc", b"")),
        parsed.subject,
        headers,
        _body(parsed, source, limit_bytes),
        _pdfs(parsed, source),
    )


def _field_text(name: bytes, raw: bytes) -> str:
    """A field as text; behind it the addresses that comments tear apart: FROM finds an address (RFC 9051 6.4.4)."""
    text = decode_header(raw)
    if b"(" not in raw or name not in _WITH_ADDRESSES:
        return text
    return " ".join([text, *[one.addr_spec for one in parse_addresses(raw)]])


def _block_text(block: bytes) -> str:
    """A header as text, a line for each field."""
    fields = iterate_fields(block)
    return "\n".join(
        [
            f"{field.raw_name.decode('ascii')}: {decode_header(block[field.value_start : field.value_end])}"
            for field in fields
        ]
    )


def _of_parts(parsed: ParsedMessage, source: bytes | mmap.mmap) -> Iterator[str]:
    """The MIME headers below the message's own, with the decoded names of files: TEXT finds them (RFC 9051 6.4.4)."""
    room = MAX_HEADER_TEXT
    inner = {id(parsed.root)}  # those that are searched as a header, or as body
    for part in parsed.root.walk():
        if room <= 0:
            break
        if part.type == "message":
            inner.update(id(child) for child in part.children)
        text = ""
        if id(part) not in inner:
            text = _block_text(source[part.header_start : min(part.body_start, part.header_start + room)])
        if (name := part.filename) not in text:
            text = f"{text} {name[:room]}"
        room -= len(text)
        if text:
            yield text


def _body(parsed: ParsedMessage, source: bytes | mmap.mmap, room: int) -> str:
    texts: list[str] = []
    for part in parsed.root.walk():
        # RFC 3501 6.4.4: what is of the type MESSAGE is searched too, such as delivery reports.
        if (part.type == "text" or (part.type == "message" and not part.children)) and part.size:
            text = part_text(part, source, room)
            room -= part.size
            texts.append(html_to_text(text) if part.subtype == "html" else text)
        elif part.type == "application" and part.size <= room and (text := _attached(part, source)):
            room -= part.size
            texts.append(text)
        elif (
            part.type == "message" and part.children
        ):  # the header of an attached message is text of this one
            nested = part.children[0]
            size = min(nested.body_start - nested.header_start, room, MAX_HEADER_TEXT)
            texts.append(_block_text(source[nested.header_start : nested.header_start + size]))
            room -= size
        if room <= 0:
            break
    return "\n".join(texts)


def _pdfs(parsed: ParsedMessage, source: bytes | mmap.mmap) -> list[Attached]:
    found: list[Attached] = []
    for part in parsed.root.walk():
        if part.type == "text" or part.children or part.size > 2 * MAX_PDF:
            continue
        begin = source[part.body_start : part.body_start + 64].lstrip()
        if begin.startswith(_PDF) and len(found) < _MAX_PDFS:
            found.append(Attached(part.body_start, part.end, part.encoding))
    return found


def _attached(part: Part, source: bytes | mmap.mmap) -> str:
    """The text of an attached document, whatever its type is called; '' when it is none."""
    begin = source[part.body_start : part.body_start + 64].lstrip()
    if part.size > 2 * MAX_DOCUMENT or not begin.startswith((SIGNATURE, _SIGNATURE_BASE64)):
        return ""
    try:
        return document_text(decoded_part(part, source))
    except UnknownEncoding:
        return ""
