"""A message put into seven bits for a peer that takes no more (RFC 6152 3, RFC 3030 3)."""

from __future__ import annotations

import email
import email.message
import email.policy
from email.generator import BytesGenerator
from io import BytesIO
from typing import Final

from mailwright.message.builder import base64_lines, encode_body

_POLICY: Final = email.policy.compat32.clone(linesep="\r\n", max_line_length=0)
_ENCODED: Final = ("base64", "quoted-printable")


class Unconvertible(ValueError):
    """The message cannot be put into seven bits; the text says why."""


def to_7bit(content: bytes) -> bytes:
    """The message with its 8-bit and binary parts in quoted-printable or base64. Raises Unconvertible.

    It breaks signatures over the body: sign again what is ours.
    """
    try:
        message = email.message_from_bytes(content, policy=_POLICY)
        for part in message.walk():
            _convert(part)
        # Without this field an encoding means nothing (RFC 2045 4).
        if not content.isascii() and "MIME-Version" not in message:
            message["MIME-Version"] = "1.0"
        out = BytesIO()
        BytesGenerator(out, mangle_from_=False, policy=_POLICY).flatten(message, linesep="\r\n")
    except (RecursionError, LookupError, UnicodeError, ValueError, AttributeError, TypeError) as error:
        raise Unconvertible(f"its structure is broken ({type(error).__name__})") from error
    converted = out.getvalue()
    _, _, body = converted.partition(b"\r\n\r\n")
    if not body.isascii():
        raise Unconvertible("a part of it may not be encoded")
    return converted  # an 8-bit header passes as it is, as everywhere


def _convert(part: email.message.Message) -> None:
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    if part.is_multipart():
        if encoding in ("8bit", "binary"):
            part.replace_header("Content-Transfer-Encoding", "7bit")
        return
    if encoding in _ENCODED:
        return
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return
    if payload.isascii() and encoding != "binary":
        return
    if part.get_content_maintype() == "text":
        name, body = encode_body(payload)
    else:
        name, body = "base64", base64_lines(payload)
    del part["Content-Transfer-Encoding"]
    part["Content-Transfer-Encoding"] = name
    part.set_payload(body.decode("ascii"))
