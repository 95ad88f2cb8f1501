"""Messages of our own: header lines that cannot be broken, text and multipart bodies that pass everywhere."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import Final

from mailwright.message.address import Address
from mailwright.message.header import encode_header, encoded_words, fold_words

MAX_LINE: Final = 998  # octets without CRLF, RFC 5322 2.1.1

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")
_LOCAL: Final = re.compile(r'[^\s"(),:;<>@\[\\\]]*|".*"')  # in quotes already: as SMTP writes it
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f]+")


def header(name: str, text: str) -> bytes:
    """An unstructured field with CRLF, encoded and folded as needed (RFC 5322 2.2.1, RFC 2047)."""
    return encode_header(name, text)


def address_header(name: str, addresses: Sequence[Address]) -> bytes:
    """A field of mailboxes, such as To; a domain or local part beyond ASCII is written as it is (RFC 6532)."""
    words = ", ".join([format_address(address) for address in addresses]).split(" ")
    return fold_words(name, words, utf8=True)


def format_address(address: Address) -> str:
    """`Name <local@domain>` with the quoting and encoded-words that it needs."""
    name = _UNSAFE.sub(" ", address.name).strip()
    local = address.local if _LOCAL.fullmatch(address.local) is not None else _quoted(address.local)
    domain = address.domain.replace("<", "").replace(">", "")
    spec = _UNSAFE.sub("", f"{local}@{domain}" if domain else local)
    if not name:
        return spec
    if not name.isascii() or "=?" in name:
        name = " ".join(encoded_words(name, 20))
    elif _ATOMS.fullmatch(name) is None:
        name = _quoted(name)
    return f"{name} <{spec}>" if spec else name


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def content_type(kind: str, params: Sequence[tuple[str, str]] = ()) -> bytes:
    """A Content-Type field; values that are no tokens quoted, those beyond ASCII extended (RFC 2231)."""
    return mime_field("Content-Type", kind, params)


def content_disposition(kind: str, filename: str = "") -> bytes:
    """A Content-Disposition field (RFC 2183)."""
    return mime_field("Content-Disposition", kind, [("filename", filename)] if filename else [])


def mime_field(name: str, value: str, params: Sequence[tuple[str, str]]) -> bytes:
    """A field of MIME with parameters, these quoted or extended as needed (RFC 2231)."""
    words = [_param(key, _UNSAFE.sub(" ", text)) for key, text in params]
    return fold_words(name, "; ".join([value, *words]).split(" ")) if words else fold_words(name, [value])


def _param(name: str, value: str) -> str:
    if _TOKEN.fullmatch(value) is not None:
        return f"{name}={value}"
    if value.isascii():
        return f"{name}={_quoted(value)}"
    octets = value.encode("utf-8", "replace")
    return f"{name}*=utf-8''" + "".join(
        [chr(o) if chr(o).isalnum() and o < 128 else f"%{o:02X}" for o in octets]
    )


def text_part(text: str, subtype: str = "plain", *, eight_bit: bool = False, extra: bytes = b"") -> bytes:
    """A text entity with its MIME fields, CRLF throughout.

    7bit when it is ASCII with lines that fit; 8bit when `eight_bit` allows it; else quoted-printable for text that
    is mostly ASCII, base64 for all other. `extra` is put among the fields: whole lines.
    """
    body = _LINE_END.sub(b"\r\n", text.encode("utf-8", "replace"))
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    charset = "us-ascii" if body.isascii() else "utf-8"
    encoding, body = encode_body(body, eight_bit=eight_bit)
    return (
        content_type(f"text/{subtype}", [("charset", charset)])
        + extra
        + b"Content-Transfer-Encoding: %b\r\n\r\n" % encoding.encode("ascii")
        + body
    )


def encode_body(body: bytes, *, eight_bit: bool = False) -> tuple[str, bytes]:
    """The transfer encoding that suits a text body with CRLF, and the body in it."""
    fits = max(map(len, body.split(b"\r\n"))) <= MAX_LINE and b"\0" not in body
    if fits and body.isascii():
        return "7bit", body
    if fits and eight_bit:
        return "8bit", body
    foreign = len(body) - len(body.decode("ascii", "ignore"))
    if foreign * 4 > len(body):
        return "base64", base64_lines(body)
    return "quoted-printable", quoted_printable(body)


def base64_lines(octets: bytes) -> bytes:
    """Base64 in lines of 76 with CRLF (RFC 2045 6.8)."""
    lines = [binascii.b2a_base64(octets[at : at + 57], newline=False) for at in range(0, len(octets), 57)]
    return b"".join([line + b"\r\n" for line in lines])


def quoted_printable(body: bytes) -> bytes:
    """Quoted-printable of text with CRLF (RFC 2045 6.7); "From " and "." are kept from the start of lines."""
    encoded = binascii.b2a_qp(body.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")
    encoded = encoded.replace(b"\r\nFrom ", b"\r\n=46rom ").replace(b"\r\n.", b"\r\n=2E")
    return b"=46" + encoded[1:] if encoded.startswith(b"From ") else encoded


def message_part(message: bytes, kind: str = "message/rfc822") -> bytes:
    """An attached message, or with "text/rfc822-headers" its header (RFC 3462); the octets stay as they are."""
    encoding = "7bit" if message.isascii() else "8bit"
    return content_type(kind) + b"Content-Transfer-Encoding: %b\r\n\r\n" % encoding.encode() + message


def attachment(octets: bytes, kind: str, filename: str = "") -> bytes:
    """A base64 part that is to be saved."""
    return (
        content_type(kind, [("name", filename)] if filename else [])
        + b"Content-Transfer-Encoding: base64\r\n"
        + content_disposition("attachment", filename)
        + b"\r\n"
        + base64_lines(octets)
    )


def multipart(
    subtype: str, parts: Sequence[bytes], boundary: str, params: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A multipart entity of entities. `boundary` is the caller's, for it has to be random; a part that holds it gets
    it lengthened.
    """
    while any(b"--" + boundary.encode("ascii") in part for part in parts):
        boundary += "="
    mark = b"--" + boundary.encode("ascii")
    fields = content_type(f"multipart/{subtype}", [*params, ("boundary", boundary)])
    body = b"".join([b"\r\n" + mark + b"\r\n" + part for part in parts])
    return fields + b"\r\n" + body[2:] + b"\r\n" + mark + b"--\r\n"


def build(fields: Sequence[bytes], entity: bytes) -> bytes:
    """A whole message: header lines (the caller gives Date and Message-ID), MIME-Version, and the entity."""
    return b"".join(fields) + b"MIME-Version: 1.0\r\n" + entity
