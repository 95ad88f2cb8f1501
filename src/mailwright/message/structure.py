"""BODYSTRUCTURE and BODY, and in one place all that is kept of a message's structure."""

from __future__ import annotations

from typing import Final

from mailwright.message.envelope import envelope_to_utf8, nstring, quoted, render_envelope
from mailwright.message.mime import Params, decode_value, extend_value, join_params
from mailwright.message.parsed import ParsedMessage
from mailwright.message.part import Part, find_message, find_part, part_numbers
from mailwright.message.record import RecordError, from_record, root_of_record, to_record

__all__ = [
    "Part",
    "RecordError",
    "body",
    "bodystructure",
    "envelope",
    "envelope_to_utf8",
    "envelope_utf8",
    "find_message",
    "find_part",
    "from_record",
    "part_numbers",
    "root_of_record",
    "to_record",
]

_EMPTY_BODY: Final = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0'
_EMPTY_ENVELOPE: Final = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def envelope(parsed: ParsedMessage) -> bytes:
    """The ENVELOPE as IMAP sends it: 7-bit, without CR, LF or NUL (RFC 3501 7.4.2)."""
    return render_envelope(parsed.fields)


def envelope_utf8(parsed: ParsedMessage) -> bytes:
    """The ENVELOPE with decoded text in UTF-8, for clients that enabled UTF8=ACCEPT or IMAP4rev2."""
    return render_envelope(parsed.fields, utf8=True)


def bodystructure(part: Part, utf8: bool = False) -> bytes:
    """The part as BODYSTRUCTURE describes it (RFC 3501 7.4.2); the root describes the message.

    With `utf8`, envelopes are in UTF-8, and message/global shows what it holds (RFC 9051 7.5.2).
    """
    return _describe(part, True, utf8)


def body(part: Part, utf8: bool = False) -> bytes:
    """The part as BODY describes it: without extension data."""
    return _describe(part, False, utf8)


def _describe(part: Part, extended: bool, utf8: bool) -> bytes:
    if part.type == "multipart":
        return _multipart(part, extended, utf8)
    kind, subtype = part.type, part.subtype
    tail = b""
    if kind == "text":
        tail = b" %d" % part.lines
    elif kind == "message" and (subtype == "rfc822" or (utf8 and subtype == "global")):
        if part.children:
            nested = _describe(part.children[0], extended, utf8)
            shown = part.envelope or _EMPTY_ENVELOPE
            tail = b" %b %b %d" % (envelope_to_utf8(shown) if utf8 else shown, nested, part.lines)
        else:  # encoded or too deep: an attachment, for what is called a message has to show its structure
            kind, subtype = "application", "octet-stream"
    head = b'("%b" %b %b %b %b "%b" %d%b' % (
        _plain(kind),
        _string(subtype),
        _params(part.raw_params, kind == "text"),
        _nstring(part.content_id),
        _nstring(part.description),
        _plain(part.encoding),
        part.end - part.body_start,
        tail,
    )
    if not extended:
        return head + b")"
    return b"%b %b %b)" % (head, _nstring(part.md5), _extension(part))


def _multipart(part: Part, extended: bool, utf8: bool) -> bytes:
    children = b"".join([_describe(child, extended, utf8) for child in part.children])
    if not children:  # the grammar asks for one body at least
        children = _EMPTY_BODY + (b" NIL NIL NIL NIL)" if extended else b")")
    if not extended:
        return b"(%b %b)" % (children, _string(part.subtype))
    return b"(%b %b %b %b)" % (
        children,
        _string(part.subtype),
        _params(part.raw_params, False),
        _extension(part),
    )


def _extension(part: Part) -> bytes:
    if not part.disposition and not part.language and not part.location:
        return b"NIL NIL NIL"
    disposition = b"NIL"
    if part.disposition:
        disposition = b"(%b %b)" % (_string(part.disposition), _params(part.raw_disposition_params, False))
    language = b"NIL"
    if len(part.language) == 1:
        language = _string(part.language[0])
    elif part.language:
        language = b"(" + b" ".join([_string(tag) for tag in part.language]) + b")"
    return b"%b %b %b" % (disposition, language, _nstring(part.location))


def _params(params: Params, text: bool) -> bytes:
    if not params:
        return b'("charset" "us-ascii")' if text else b"NIL"
    items = [_param(name, value) for name, value in join_params(params)]
    if text and not any(name == "charset" or name.startswith("charset*") for name, _ in params):
        items.append(b'"charset" "us-ascii"')
    return b"(" + b" ".join(items) + b")"


def _param(name: str, value: str) -> bytes:
    if value.isascii() or "*" in name:
        return _string(name) + b" " + _string(value)
    # Raw 8-bit values (RFC 2045 forbids them, the world sends them) as RFC 2231 4 would have had them.
    return _string(name + "*") + b" " + _string(extend_value(decode_value(value)))


def _plain(token: str) -> bytes:
    """A token that the parser let through only as printable ASCII."""
    return token.encode("ascii", "replace").replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _string(text: str) -> bytes:
    return quoted(text.encode("utf-8", "surrogateescape"))


def _nstring(text: str) -> bytes:
    return nstring(text.encode("utf-8", "surrogateescape")) if text else b"NIL"
