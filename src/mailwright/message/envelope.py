"""The IMAP ENVELOPE, rendered once: always 7-bit, always one line (RFC 3501 7.4.2, RFC 9051 7.5.2)."""

from __future__ import annotations

import re
from typing import Final

from mailwright.message import charset
from mailwright.message.address import RawAddress, parse_raw
from mailwright.message.header import decode_header, encoded_words, unfold

MAX_TEXT: Final = 16_384  # octets of one string, before encoding

# What may not stand in a quoted string as it is, as anything else.
_UNSAFE: Final = bytes([*range(0x20), *b'"\\', *range(0x7F, 0x100)])
_MARKED: Final = bytes.maketrans(_UNSAFE, b"?" * len(_UNSAFE))
_CONTROLS: Final = re.compile(rb"[\x00-\x1f\x7f]")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[()]|NIL')
_ESCAPED: Final = re.compile(rb"\\(.)")
_NIL_DOMAIN: Final = b"MISSING_DOMAIN"
_NIL_LOCAL: Final = b"MISSING_MAILBOX"


def quoted(text: bytes) -> bytes:
    """`text` as an IMAP quoted string: 8-bit text as encoded-words, control characters as spaces."""
    if _is_plain(text):
        return b'"' + text + b'"'
    text = text[:MAX_TEXT]
    if not text.isascii():
        text = encode_8bit(text)
    text = _CONTROLS.sub(b" ", text)
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _is_plain(text: bytes) -> bool:
    return len(text) <= MAX_TEXT and text.translate(_MARKED) == text


def encode_8bit(text: bytes) -> bytes:
    """Raw 8-bit header text as RFC 2047 encoded-words; words that are ASCII at either end stay as they are."""
    words = charset.guess(text).split(" ")
    first = next((i for i, word in enumerate(words) if not word.isascii()), 0)
    last = next((i for i in range(len(words) - 1, -1, -1) if not words[i].isascii()), 0)
    middle = encoded_words(" ".join(words[first : last + 1]))
    return " ".join(words[:first] + middle + words[last + 1 :]).encode("ascii", "replace")


def quoted_utf8(text: str) -> bytes:
    """Decoded text as a quoted string of UTF-8 (RFC 9051 4.3, RFC 6855 3)."""
    raw = _CONTROLS.sub(b" ", text[:MAX_TEXT].encode("utf-8", "replace"))
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def nstring(text: bytes | None) -> bytes:
    """A quoted string, NIL for None."""
    return b"NIL" if text is None else quoted(text)


def render_envelope(fields: dict[bytes, bytes], utf8: bool = False) -> bytes:
    """(date subject from sender reply-to to cc bcc in-reply-to message-id) of a header's raw field values."""
    get = fields.get
    sender = _addresses(get(b"from"), utf8)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(get(b"date"), False),
        _text(get(b"subject"), utf8),
        sender,
        _addresses(get(b"sender"), utf8, sender),
        _addresses(get(b"reply-to"), utf8, sender),
        _addresses(get(b"to"), utf8),
        _addresses(get(b"cc"), utf8),
        _addresses(get(b"bcc"), utf8),
        _text(get(b"in-reply-to"), False),
        _text(get(b"message-id"), False),
    )


def _text(raw: bytes | None, utf8: bool) -> bytes:
    if raw is None:
        return b"NIL"
    if utf8:
        return quoted_utf8(decode_header(raw[:MAX_TEXT]))
    return quoted(unfold(raw))


def _addresses(raw: bytes | None, utf8: bool, default: bytes = b"NIL") -> bytes:
    if not raw:
        return default
    raw = unfold(raw)
    found = parse_raw(raw)
    if not found:
        return default
    plain = not utf8 and _is_plain(raw)  # then so are its parts
    return b"(" + b"".join([_address(address, utf8, plain) for address in found]) + b")"


def _address(address: RawAddress, utf8: bool, plain: bool) -> bytes:
    name, route, local, domain = address
    if plain and local and domain and not route:
        if not name:
            return b'(NIL NIL "%b" "%b")' % (local, domain)
        return b'("%b" NIL "%b" "%b")' % (name, local, domain)
    if domain is None:
        return b"(NIL NIL %b NIL)" % (_word(local, utf8) if local is not None else b"NIL")
    return b"(%b %b %b %b)" % (
        _word(name, utf8) if name else b"NIL",
        quoted(route) if route else b"NIL",
        _word(local, utf8) if local else quoted(_NIL_LOCAL),
        _word(domain, utf8) if domain else quoted(_NIL_DOMAIN),
    )


def _word(raw: bytes, utf8: bool) -> bytes:
    return quoted_utf8(decode_header(raw)) if utf8 else quoted(raw)


def envelope_to_utf8(rendered: bytes) -> bytes:
    """A rendered ENVELOPE as `render_envelope` has it with `utf8`: its encoded-words decoded, where text may stand."""
    if b"=?" not in rendered:
        return rendered
    pieces = []
    pos = depth = strings = 0
    for found in _TOKEN.finditer(rendered):
        token = found.group()
        if token == b"(":
            depth += 1
        elif token == b")":
            depth -= 1
        if depth == 1 and token not in (b"(", b")"):
            strings += 1
        # Of the strings outside of addresses, only the second, the subject, is text.
        if token.startswith(b'"') and b"=?" in token and (depth > 1 or strings == 2):
            pieces += [rendered[pos : found.start()], quoted_utf8(decode_header(_unquote(token)))]
            pos = found.end()
    return b"".join(pieces) + rendered[pos:]


def _unquote(token: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", token[1:-1])
