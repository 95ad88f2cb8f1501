"""A terminal for programs that want a person before it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

ROWS: Final = 50
COLUMNS: Final = 132


class Terminal:
    """A program that runs in a terminal from `with` on; `expect` reads its screen, `press` types."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = dict(environment)
        self._shown = ""

    def __enter__(self) -> Self:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            try:
                os.execve(self._command[0], self._command, self._environment)
            finally:
                os._exit(127)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        os.close(self._terminal)  # it is hung up on
        os.waitpid(self._pid, 0)

    def expect(self, pattern: str, seconds: float = 60.0) -> None:
        """Wait until this is shown, after what was expected before."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self._shown)):
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} is not shown: {self._shown[-2000:]!r}"
            self._shown += os.read(self._terminal, 65536).decode("utf-8", "replace")
        self._shown = self._shown[found.end() :]

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())
