"""The PROXY protocol, versions 1 and 2, as haproxy's proxy-protocol.txt defines it."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_MAX_V1 = 107
_MAX_V2 = 16 + 4096


class BadProxyHeader(ConnectionError):
    """A listed proxy did not begin with a PROXY header; check that it sends one."""


@dataclass(frozen=True)
class ProxyHeader:
    """What a proxy tells of the connection; None for both ends: its own (a health check)."""

    length: int  # octets of the header
    source: tuple[str, int] | None
    destination: tuple[str, int] | None


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the start of `data`; None when more octets are needed. Raises BadProxyHeader."""
    if data.startswith(_SIGNATURE):
        return _parse_v2(data)
    if _SIGNATURE.startswith(data):
        return None
    if data.startswith(b"PROXY ") or b"PROXY ".startswith(data):
        return _parse_v1(data)
    raise BadProxyHeader("no PROXY header; is this address a proxy that sends one?")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _MAX_V1)
    if end < 0:
        if len(data) >= _MAX_V1:
            raise BadProxyHeader("the PROXY header has no end")
        return None
    words = data[:end].decode("latin-1").split(" ")
    if len(words) >= 2 and words[1] == "UNKNOWN":
        return ProxyHeader(end + 2, None, None)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise BadProxyHeader("the PROXY header is malformed")
    return ProxyHeader(end + 2, _address(words[2], words[4]), _address(words[3], words[5]))


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version_command, family, length = struct.unpack_from(">BBH", data, 12)
    if version_command >> 4 != 2 or 16 + length > _MAX_V2:
        raise BadProxyHeader("the PROXY header is malformed")
    end = 16 + length
    if len(data) < end:
        return None
    if version_command & 0x0F == 0 or family >> 4 not in (1, 2):  # LOCAL, or no IP address
        return ProxyHeader(end, None, None)
    size = 4 if family >> 4 == 1 else 16
    if length < 2 * size + 4:
        raise BadProxyHeader("the PROXY header is malformed")
    source, destination = data[16 : 16 + size], data[16 + size : 16 + 2 * size]
    source_port, destination_port = struct.unpack_from(">HH", data, 16 + 2 * size)
    return ProxyHeader(
        end,
        (str(ipaddress.ip_address(source)), source_port),
        (str(ipaddress.ip_address(destination)), destination_port),
    )


def _address(text: str, port: str) -> tuple[str, int]:
    try:
        return str(ipaddress.ip_address(text)), int(port)
    except ValueError as error:
        raise BadProxyHeader("the PROXY header is malformed") from error
