"""One question to one server, by UDP and, where that does not do, by TCP."""

from __future__ import annotations

import asyncio
import socket

from mailwright.dns.servers import Server
from mailwright.dns.wire import BadReply, Query, Truncated, is_reply_to

MAX_STRAYS = 16  # datagrams that answer something else; after these only TCP is believed
_DATAGRAM = 4096


async def ask_udp(server: Server, query: Query) -> bytes:
    """The first datagram that answers the query, from a fresh source port.

    Raises OSError, or Truncated when too many datagrams answer something else. Waits without end.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(server.family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((server.host, server.port))
        await loop.sock_sendall(sock, query.wire)
        for _ in range(MAX_STRAYS):
            wire = await loop.sock_recv(sock, _DATAGRAM)
            if is_reply_to(query, wire):
                return wire
    raise Truncated("sent replies to other questions")


async def ask_tcp(server: Server, query: Query) -> bytes:
    """The reply by TCP (RFC 7766). Raises OSError or BadReply. Waits without end."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(len(query.wire).to_bytes(2, "big") + query.wire)
        await writer.drain()
        length = int.from_bytes(await reader.readexactly(2), "big")
        wire = await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise BadReply("closed the connection in the middle of a reply") from error
    finally:
        writer.transport.abort()
    if not is_reply_to(query, wire):
        raise BadReply("answered another question by TCP")
    return wire
