"""Which resolvers to ask."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

PORT = 53
MAX_SERVERS = 8
RESOLV_CONF = Path("/etc/resolv.conf")


@dataclass(frozen=True)
class Server:
    """A resolver by its IP address; only one on loopback can be believed about DNSSEC."""

    host: str
    port: int = PORT

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORT else f"{host}:{self.port}"


def parse_server(text: str) -> Server:
    """`192.0.2.1`, `127.0.0.1:5353`, `2001:db8::1` or `[::1]:5353`. Raises ValueError."""
    text = text.strip()
    host, port = text, str(PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else port if not rest else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError as error:
        raise ValueError(f"{text!r} is no DNS server: write an IP address, as 127.0.0.1:5353") from error
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} has no valid port: write 1 to 65535, as 127.0.0.1:5353")
    return Server(host, int(port))


def system_servers(path: Path = RESOLV_CONF) -> list[Server]:
    """The name servers of resolv.conf; 127.0.0.1 when it names none (resolv.conf(5))."""
    servers: list[Server] = []
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                servers.append(parse_server(words[1]))
            except ValueError:
                continue
    return servers[:MAX_SERVERS] or [Server("127.0.0.1")]
