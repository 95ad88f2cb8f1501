"""An SMTP server for crash tests, as a process of its own: it takes everything and notes each message it has kept.

`python sink.py FILE` says its port, then appends a line `NUMBER CONNECTION TIME` to FILE for each message, before its
final reply is sent. The command WAIT is answered once all other connections have ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from pathlib import Path
from typing import TextIO


class Sink:
    """Offers PIPELINING, and answers a little late, so that a kill of the client hits each phase."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._connections = 0
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self._open += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._converse(reader, writer, self._connections)
        self._open -= 1
        writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        writer.write(b"220 sink ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-sink\r\n250 PIPELINING\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await self._keep(await reader.readuntil(b"\r\n.\r\n"), connection)
                writer.write(b"250 kept\r\n")
            elif verb == b"WAIT":
                while self._open > 1:
                    await asyncio.sleep(0.01)
                writer.write(b"250 nobody else is here\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()

    async def _keep(self, content: bytes, connection: int) -> None:
        found = re.search(rb"^Subject: number (\d+);", content, re.MULTILINE)
        number = int(found[1]) if found else -1
        await asyncio.sleep(0.002 * (number % 5))
        self._log.write(f"{number} {connection} {time.monotonic()}\n")
        self._log.flush()
        await asyncio.sleep(0.002 * (number % 3))


async def serve(file: Path) -> None:
    with file.open("a") as log:
        server = await asyncio.start_server(Sink(log).serve, "127.0.0.1", 0, limit=1 << 20)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
