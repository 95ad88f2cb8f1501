"""The PROXY protocol, versions 1 and 2, as haproxy's proxy-protocol.txt defines it."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from mailwright.net.addresses import plain

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_MAX_V1 = 107
_VERSIONS = {"TCP4": 4, "TCP6": 6}  # of IP
_LOCAL, _PROXY = 0x20, 0x21  # version 2 and the command


class BadProxyHeader(ConnectionError):
    """A listed proxy did not begin with a PROXY header; check that it sends one."""


@dataclass(frozen=True)
class ProxyHeader:
    """What a proxy tells of the connection; None for both ends: its own (a health check).

    IPv4 addresses that were mapped into IPv6, as balancers do that listen on both, are plain ones here.
    """

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
    version = _VERSIONS.get(words[1]) if len(words) == 6 else None
    if version is None:
        raise BadProxyHeader("the PROXY header is malformed")
    return ProxyHeader(end + 2, _address(version, words[2], words[4]), _address(version, words[3], words[5]))


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version_command, family, length = struct.unpack_from(">BBH", data, 12)
    if version_command not in (_LOCAL, _PROXY):
        raise BadProxyHeader("the PROXY header is malformed")
    end = 16 + length
    if len(data) < end:
        return None
    if version_command == _LOCAL or family >> 4 not in (1, 2):  # LOCAL, or no IP address
        return ProxyHeader(end, None, None)
    size = 4 if family >> 4 == 1 else 16
    if length < 2 * size + 4:
        raise BadProxyHeader("the PROXY header is malformed")
    source, destination = data[16 : 16 + size], data[16 + size : 16 + 2 * size]
    source_port, destination_port = struct.unpack_from(">HH", data, 16 + 2 * size)
    return ProxyHeader(
        end,
        (plain(str(ipaddress.ip_address(source))), source_port),
        (plain(str(ipaddress.ip_address(destination))), destination_port),
    )


def _address(version: int, text: str, port: str) -> tuple[str, int]:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise BadProxyHeader("the PROXY header is malformed") from error
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if address.version != version or "%" in text or not digits or int(port) > 0xFFFF:
        raise BadProxyHeader("the PROXY header is malformed")
    return plain(text), int(port)
