"""The contract between a protocol's session and the network."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Peer(NamedTuple):
    """One end of a connection. `address` is an IP address in text ('' for a Unix socket)."""

    address: str
    port: int = 0

    @property
    def is_loopback(self) -> bool:
        return self.address in ("", "::1") or self.address.startswith(("127.", "::ffff:127."))

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class TLSInfo:
    """What was agreed in a TLS handshake."""

    version: str  # 'TLSv1.3'
    cipher: str
    server_name: str | None  # SNI
    server_end_point: bytes | None  # channel binding (RFC 5929 4) where SCRAM-PLUS is offered: not in TLS 1.3


class Stream(Protocol):
    """A peer's connection, read by pull and with deadlines; plain or TLS alike."""

    peer: Peer
    local: Peer
    tls: TLSInfo | None

    async def read(self, timeout: float) -> bytes | None:
        """The next octets; b'' at the end of input; None when `wake()` asked for attention.

        Raises TimeoutError when nothing came for `timeout` seconds, ConnectionError when the peer is gone.
        At most `Limits.read_ahead` octets are ever waiting.
        """
        ...

    def write(self, data: bytes) -> None:
        """Take octets to be sent; never waits. Writing to a peer that is gone does nothing."""
        ...

    async def drain(self, timeout: float = 60.0) -> None:
        """Wait until what is written is below `Limits.write_ahead`.

        Raises TimeoutError when the peer takes nothing for `timeout` seconds, ConnectionError when it is gone.
        """
        ...

    async def start_tls(self, context: ssl.SSLContext, timeout: float = 30.0) -> None:
        """Shake hands as server; what was read but not consumed before is dropped (RFC 3207 5, RFC 3501 6.2.1).

        Raises ConnectionError when the handshake fails, TimeoutError when it takes too long.
        """
        ...

    def wake(self) -> None:
        """Make the pending read, or else the next one, return None at once. Only from the event loop."""
        ...

    async def close(self) -> None:
        """Send what is written (within a bound), then close. Closing twice does nothing."""
        ...

    def abort(self) -> None:
        """Drop the connection at once."""
        ...
