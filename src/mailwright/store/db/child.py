"""Reads for a server that has started it with a socket as its standard input: `python -m mailwright.store.db.child`.

First comes what to open, then one operation after another with its arguments, all pickled. Back go their results,
and nothing for what could not be done: the server then tries it itself, and tells what is wrong. A result goes into the
place in the memory we share that its call names, as long as there is room; the server then gets only its length.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import signal
import socket
import sys
from io import BufferedRWPair
from typing import Final

from mailwright.store.db.file import SQLiteFile

LENGTH: Final = (
    8  # octets that tell how long what follows is, and before a call one more: the place for its result
)
PLACES: Final = 4  # for results in the memory that is shared; what names none of them is sent
ROOM: Final = 1024 * 1024  # octets of one
_CACHE: Final = 4096  # KiB: what is read in bulk is hardly read again
_NICE: Final = 5  # the server, which answers all clients, goes first where processors are short


def main() -> None:
    """Answer until the server closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: the server decides when to stop
    os.nice(_NICE)
    shared = mmap.mmap(int(sys.argv[1]), PLACES * ROOM)
    with (
        contextlib.suppress(ConnectionError),  # nobody is left to read for
        socket.socket(fileno=0) as connection,
        connection.makefile("rwb") as stream,
    ):
        _serve(stream, shared)


def _serve(stream: BufferedRWPair, shared: mmap.mmap) -> None:
    database: SQLiteFile | None = None
    while head := stream.read(LENGTH + 1):
        call = stream.read(int.from_bytes(head[1:], "big"))
        if database is None:
            database = SQLiteFile(*pickle.loads(call), readers=0, cache=_CACHE)  # noqa: S301 - the server's own
            answer = pickle.dumps(None)
        else:
            answer = _read(database, call)
        stream.write(len(answer).to_bytes(LENGTH, "big"))
        if head[0] < PLACES and len(answer) <= ROOM:
            start = head[0] * ROOM
            shared[start : start + len(answer)] = answer
        else:
            stream.write(answer)
        stream.flush()


def _read(database: SQLiteFile, call: bytes) -> bytes:
    try:
        operation, args, kwargs = pickle.loads(call)  # noqa: S301 - the server's own
        return pickle.dumps(database.read_now(operation, *args, **kwargs), pickle.HIGHEST_PROTOCOL)
    except Exception:
        return b""


if __name__ == "__main__":
    main()
