"""Which addresses lead to this machine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

_NOT_OURS: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # never given to anybody


def is_local(address: str) -> bool:
    """Whether an IP address is one of this machine's own, at this moment."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Where any address may be bound (ip_nonlocal_bind) this way of asking tells nothing.
    return _can_bind(family, address) and not _can_bind(family, _NOT_OURS[family])


def _can_bind(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def plain(address: str) -> str:
    """An IP address in its shortest form, one of IPv4 also when it was mapped into IPv6. Raises ValueError."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


class Ours:
    """Whether connecting to an address would lead back to a listener of ours.

    `listeners` are hosts and ports; `public` addresses are translated to ours somewhere on the way.
    """

    def __init__(self, listeners: Iterable[tuple[str, int]], public: Iterable[str] = ()) -> None:
        self._listeners = [(_plain_or_name(host), port) for host, port in listeners]
        self._public = frozenset(map(plain, public))

    def __call__(self, address: str, port: int) -> bool:
        address = plain(address)
        hosts = {host for host, listens in self._listeners if listens == port}
        if not hosts:
            return False
        if address in hosts or address in self._public:
            return True
        # Linux takes a connection to the wildcard address as one to itself.
        every = "::" if ":" in address else "0.0.0.0"  # noqa: S104
        return (every in hosts or "::" in hosts) and (address == every or is_local(address))

    def names(self, literal: str) -> bool:
        """Whether an address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]`, stands for us (RFC 5321 4.1.3)."""
        address = literal[1:-1].removeprefix("IPv6:")
        return any(self(address, port) for _, port in self._listeners)


def _plain_or_name(host: str) -> str:
    try:
        return plain(host)
    except ValueError:
        return host
