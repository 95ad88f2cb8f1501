"""Headers for clients that know no UTF-8: what is not ASCII is written in the old way, or left out (RFC 6858).

Such a header is a stand-in for the true one: signatures do not fit it, and some addresses cannot be answered.
"""

from __future__ import annotations

from typing import Final

from mailwright.message.address import Address, parse_addresses
from mailwright.message.builder import address_header, mime_field
from mailwright.message.header import decode_header, encode_header, iterate_fields
from mailwright.message.mime import decode_params, parse_content_type, parse_disposition

_ADDRESSES: Final = frozenset(
    {b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"}
    | {b"resent-from", b"resent-sender", b"resent-to", b"resent-cc", b"resent-bcc", b"resent-reply-to"}
)
_TEXTS: Final = frozenset({b"subject", b"comments", b"content-description", b"thread-topic", b"organization"})


def downgrade_header(block: bytes) -> bytes:
    """A header block in ASCII; the fields that are so already stay as they are, octet for octet."""
    if block.isascii():
        return block
    output, at = [], 0
    for field in iterate_fields(block):
        between = block[at : field.start]  # lines that are no fields
        output.append(between if between.isascii() else b"")
        raw = block[field.start : field.end]
        output.append(
            raw if raw.isascii() else _downgrade(field.name, block[field.value_start : field.value_end])
        )
        at = field.end
    rest = block[at:]
    return b"".join(output) + (rest if rest.isascii() else b"\r\n")


def _downgrade(name: bytes, value: bytes) -> bytes:
    """A field without what is not ASCII; b'' where there is no telling how (RFC 6858 2.4)."""
    shown = name.decode("ascii").title()
    if name in _ADDRESSES:
        addresses = [_reachable(address) for address in parse_addresses(value)]
        return address_header(shown, addresses) if addresses else b""
    if name in _TEXTS or name.startswith(b"x-"):
        return encode_header(shown, decode_header(value))
    if name == b"content-type":
        kind, subtype, params = parse_content_type(value)
        return mime_field(shown, f"{kind}/{subtype}", tuple(decode_params(params).items())) if kind else b""
    if name == b"content-disposition":
        disposition, params = parse_disposition(value)
        return mime_field(shown, disposition, tuple(decode_params(params).items())) if disposition else b""
    return b""


def _reachable(address: Address) -> Address:
    """An address in ASCII; one that is not gives way to one that nobody has (RFC 6858 2.1)."""
    spec = address.addr_spec
    if spec.isascii():
        return address
    name = f"{address.name} <{spec}>" if address.name else spec
    return Address(name, "invalid", "internationalized-address.invalid")
