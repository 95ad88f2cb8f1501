"""The server's side of a POP3 connection as a pure machine: octets in, commands out."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.pop3.syntax import Auth, Command, SyntaxFault, parse_command

COMMAND_LINE: Final = 255  # octets with the CRLF (RFC 2449 4)
LONG_LINE: Final = 12_290  # of what carries credentials, whose length RFC 5034 4 leaves to the mechanism

_LONG: Final = (b"AUTH ", b"PASS ", b"USER ")


class AuthResponse(NamedTuple):
    """A line that answers a challenge, without its line end; None when it was too long."""

    line: bytes | None


class Closed(NamedTuple):
    """The peer sent all it will; a line without its end is dropped."""


Event = Command | Auth | AuthResponse | SyntaxFault | Closed


class Connection:
    """Feed with `receive_data`, ask with `next_event`; after a challenge call `expect_auth_response`.

    A line ends with LF, with or without CR before it: a person at a terminal may speak POP3.
    """

    __slots__ = (
        "_buffer",
        "_closed",
        "_command_line",
        "_discarding",
        "_position",
        "_response",
        "_scanned",
        "_told",
    )

    def __init__(self, command_line: int = COMMAND_LINE) -> None:
        self._command_line = command_line
        self._closed = False  # the input has ended
        self._told = False  # and the session knows
        self._clear()

    def _clear(self) -> None:
        self._buffer = b""
        self._position = 0  # where in the buffer the next line begins
        self._scanned = 0  # up to where there is no LF
        self._discarding = False  # the rest of an over-long line
        self._response = False  # the next line answers a challenge

    def receive_data(self, data: bytes) -> None:
        """Take octets; b'' tells the end of input. What waits is bounded when events are asked for first."""
        if not data:
            self._closed = True
        elif self._position < len(self._buffer):
            self._buffer = self._buffer[self._position :] + data
            self._scanned -= self._position
            self._position = 0
        else:
            self._buffer = data
            self._position = self._scanned = 0

    @property
    def wants_data(self) -> bool:
        """Whether all that came is used up but for the beginning of a line."""
        return not self._closed and len(self._buffer) - self._position <= LONG_LINE

    def reset(self) -> None:
        """Drop what is buffered, as after STLS (RFC 2595 4)."""
        self._clear()

    def expect_auth_response(self) -> None:
        """A challenge was sent: the next line answers it."""
        self._response = True

    def next_event(self) -> Event | None:
        """What comes next; None when it is not complete yet."""
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if end < 0:
                return self._incomplete()
            start = self._position
            self._position = self._scanned = end + 1
            if self._discarding:
                self._discarding = False
            elif end + 1 - start > self._limit(start):
                return self._too_long()
            else:
                return self._take(self._buffer[start:end].removesuffix(b"\r"))

    def _incomplete(self) -> Event | None:
        self._scanned = len(self._buffer)
        if self._discarding:
            self._position = self._scanned
        elif self._scanned - self._position >= self._limit(self._position):
            self._position = self._scanned
            self._discarding = True
            return self._too_long()
        if self._closed and not self._told:
            self._told = True
            self._clear()
            return Closed()
        return None

    def _limit(self, start: int) -> int:
        if self._response or self._buffer[start : start + 5].upper() in _LONG:
            return LONG_LINE
        return self._command_line

    def _too_long(self) -> Event:
        if self._response:
            self._response = False
            return AuthResponse(None)
        return SyntaxFault("The line is too long")

    def _take(self, line: bytes) -> Event:
        if self._response:
            self._response = False
            return AuthResponse(line)
        return parse_command(line)
