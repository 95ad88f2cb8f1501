"""The PROXY protocol: both versions, byte by byte, and what is not one."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.net.proxy import BadProxyHeader, ProxyHeader, parse_proxy_header

V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(source: str, destination: str, ports: tuple[int, int], extra: bytes = b"", command: int = 1) -> bytes:
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    body = first.packed + second.packed + struct.pack(">HH", *ports) + extra
    return (
        V2
        + bytes([0x20 | command, 0x11 if first.version == 4 else 0x21])
        + struct.pack(">H", len(body))
        + body
    )


HEADERS = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n", ("192.0.2.1", 56324), ("198.51.100.1", 25)),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", ("2001:db8::1", 1), ("2001:db8::2", 2)),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6401 1 2\r\n", ("192.0.2.1", 1), ("198.51.100.1", 2)),
    (b"PROXY UNKNOWN whatever\r\n", None, None),
    (v2("192.0.2.1", "198.51.100.1", (5, 25)), ("192.0.2.1", 5), ("198.51.100.1", 25)),
    (v2("2001:db8::1", "2001:db8::2", (5, 25), b"\x20\x00\x01x"), ("2001:db8::1", 5), ("2001:db8::2", 25)),
    (v2("::ffff:192.0.2.1", "::ffff:198.51.100.1", (5, 25)), ("192.0.2.1", 5), ("198.51.100.1", 25)),
    (v2("192.0.2.1", "198.51.100.1", (5, 25), bytes(65_523)), ("192.0.2.1", 5), ("198.51.100.1", 25)),
    (v2("192.0.2.1", "198.51.100.1", (5, 25), command=0), None, None),
    (V2 + b"\x21\x00\x00\x00", None, None),
]


@pytest.mark.parametrize(("header", "source", "destination"), HEADERS)
def test_headers(header: bytes, source: tuple[str, int] | None, destination: tuple[str, int] | None) -> None:
    expected = ProxyHeader(len(header), source, destination)
    assert parse_proxy_header(header + b"EHLO x\r\n") == expected
    for length in range(min(len(header), 300)):
        assert parse_proxy_header(header[:length]) is None
    assert parse_proxy_header(header) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO client\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        b"PROXY TCP4 not.an.address 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 fe80::2%eth0 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        V2 + b"\x31\x11\x00\x0c" + bytes(12),
        V2 + b"\x21\x11\x00\x04" + bytes(4),
        V2 + b"\x22\x11\x00\x0c" + bytes(12),
    ],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        parse_proxy_header(data)


@settings(deadline=None)
@given(
    st.binary(max_size=60), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V2, V2 + b"\x21\x11\x00\x0c"])
)
def test_any_octets(data: bytes, start: bytes) -> None:
    try:
        header = parse_proxy_header(start + data)
    except BadProxyHeader:
        return
    assert header is None or 0 < header.length <= len(start + data)
