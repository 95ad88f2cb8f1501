"""The server's side of an SMTP or LMTP connection as a pure machine: octets in, events out."""

from __future__ import annotations

from io import IncrementalNewlineDecoder
from typing import Final, NamedTuple

from mailwright.smtp import replies
from mailwright.smtp.syntax.commands import Bdat, Command, SyntaxFault, parse_command

COMMAND_LINE: Final = 4096  # octets with the CRLF, RFC 5321 4.5.3.1.4 and what its extensions add
AUTH_LINE: Final = 12_288  # RFC 4954 4
BUFFERED: Final = 64 * 1024  # `wants_data` turns false above

_END: Final = b"\r\n.\r\n"
_DOT: Final = b"\r\n."


class DataChunk(NamedTuple):
    """Octets of the message, dots unstuffed. `bare`: this or an earlier chunk holds a bare CR or LF."""

    data: bytes
    bare: bool


class DataEnd(NamedTuple):
    """The end of DATA (`last` is true) or of one BDAT chunk. `bare`: see DataChunk."""

    last: bool
    bare: bool


class AuthResponse(NamedTuple):
    """A line that answers a challenge, without its line end; None when it was too long (RFC 4954 4)."""

    line: bytes | None


class Closed(NamedTuple):
    """The peer sent all it will. `inside`: in the middle of a line or of a message, which is dropped."""

    inside: bool


Event = Command | DataChunk | DataEnd | AuthResponse | SyntaxFault | Closed

_COMMAND: Final = 0
_AUTH: Final = 1
_DATA: Final = 2
_DATA_END: Final = 3
_BDAT: Final = 4


class Connection:
    """Feed with `receive_data`, ask with `next_event`.

    After `Data` the session calls `begin_data` if it said 354; after a challenge it calls `expect_auth_response`.
    The octets of a `Bdat` follow of themselves as DataChunk and DataEnd. With `accept_bare_lf` a bare LF in a
    message becomes CRLF; it never ends a message, and a bare CR is still a fault.
    """

    __slots__ = (
        "_accept_bare_lf",
        "_auth_line",
        "_bare",
        "_binary",
        "_buffer",
        "_closed",
        "_command_line",
        "_discarding",
        "_held_cr",
        "_last",
        "_left",
        "_mode",
        "_position",
        "_scanned",
        "_skip",
        "_told",
    )

    def __init__(
        self, *, accept_bare_lf: bool = False, command_line: int = COMMAND_LINE, auth_line: int = AUTH_LINE
    ) -> None:
        self._accept_bare_lf = accept_bare_lf
        self._command_line = command_line
        self._auth_line = auth_line
        self._closed = False  # the input has ended
        self._told = False  # and the session knows
        self._binary = False
        self._clear()

    def _clear(self) -> None:
        self._buffer = b""
        self._position = 0  # where in the buffer the next event begins
        self._scanned = 0  # up to where there is no LF
        self._mode = _COMMAND
        self._discarding = False  # the rest of an over-long line
        self._left = 0  # octets of a BDAT chunk yet to come
        self._last = False
        self._bare = False
        self._held_cr = False  # a BDAT chunk ended in CR
        self._skip = 0  # octets of the line end before the message, which are not part of it

    def receive_data(self, data: bytes) -> None:
        """Take octets; b'' tells the end of input."""
        if not data:
            self._closed = True
        elif self._position < len(self._buffer):
            self._buffer = self._buffer[self._position :] + data
            self._scanned -= self._position
            self._position = 0
        else:
            self._buffer = data
            self._scanned = self._position = 0

    @property
    def wants_data(self) -> bool:
        """False while more than BUFFERED octets wait: ask for events first."""
        return len(self._buffer) - self._position <= BUFFERED and not self._closed

    @property
    def has_buffered(self) -> bool:
        """Octets wait behind the last event: the client pipelines."""
        return self._position < len(self._buffer)

    def reset(self) -> None:
        """Drop what is buffered, as after STARTTLS (RFC 3207 4.2)."""
        self._clear()

    def begin_message(self, binary: bool = False) -> None:
        """MAIL was accepted. `binary`: BODY=BINARYMIME, whose chunks may hold any octets (RFC 3030 3)."""
        self._bare = False
        self._held_cr = False
        self._binary = binary

    def begin_data(self) -> None:
        """354 was said: what follows is the message."""
        # The line end of the command stands for the one before the first line, so that a message that begins with
        # a dot, or is nothing but the end, needs no case of its own.
        if self._position >= 2 and self._buffer[self._position - 2 : self._position] == b"\r\n":
            self._position -= 2
        else:
            self._buffer = b"\r\n" + self._buffer[self._position :]
            self._position = 0
        self._skip = 2
        self._mode = _DATA

    def expect_auth_response(self) -> None:
        """334 was said: the next line answers it."""
        self._mode = _AUTH

    def next_event(self) -> Event | None:
        """What comes next; None when it is not complete yet."""
        if self._mode == _COMMAND or self._mode == _AUTH:
            event: Event | None = self._next_line()
        elif self._mode == _DATA:
            event = self._next_data()
        elif self._mode == _DATA_END:
            self._mode = _COMMAND
            return DataEnd(True, self._bare)
        else:
            event = self._next_chunk()
        if event is None and self._closed and not self._told:
            self._told = True
            inside = self._mode != _COMMAND or self._position < len(self._buffer) or self._discarding
            self._clear()
            return Closed(inside)
        return event

    def _next_line(self) -> Event | None:
        buffer = self._buffer
        limit = self._auth_line if self._mode == _AUTH else self._command_line
        end = buffer.find(b"\n", max(self._scanned, self._position))
        if end < 0:
            if self._discarding:
                self._position = len(buffer)
            self._scanned = len(buffer)
            if len(buffer) - self._position >= limit:
                self._position = len(buffer)
                self._discarding = True
                return self._line_too_long()
            return None
        start = self._position
        self._position = end + 1
        if self._discarding:
            self._discarding = False
            return self._next_line()
        if end + 1 - start > limit:
            return self._line_too_long()
        # A line that ends in LF alone comes from a person at a terminal; here it can do no harm.
        line = buffer[start:end].removesuffix(b"\r")
        if self._mode == _AUTH:
            self._mode = _COMMAND
            return AuthResponse(line)
        command = parse_command(line)
        if isinstance(command, Bdat):
            self._left = command.size
            self._last = command.last
            self._mode = _BDAT
        return command

    def _line_too_long(self) -> Event:
        if self._mode == _AUTH:
            self._mode = _COMMAND
            return AuthResponse(None)
        return SyntaxFault(replies.LINE_TOO_LONG)

    def _next_data(self) -> Event | None:
        buffer, start = self._buffer, self._position
        dot = buffer.find(_DOT, start)  # mostly there is none before that of the end
        end = buffer.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            piece = buffer[start : end + 2]
            self._position = self._scanned = end + len(_END)
            self._mode = _DATA_END
        else:
            self._position = len(buffer) - _end_prefix(buffer)
            if self._position <= start:
                self._position = start
                return None
            piece = buffer[start : self._position]
        if dot != end:  # RFC 5321 4.5.2: of a line that begins with a dot, the dot is deleted.
            piece = piece.replace(_DOT, b"\r\n")  # it never ends within CRLF, nor within CRLF and dot
        data = self._check(piece)
        if self._skip:
            data = data[self._skip :]
            self._skip = 0
        return DataChunk(data, self._bare) if data else self.next_event()

    def _check(self, text: bytes) -> bytes:
        """Find a bare CR or LF in whole lines."""
        lines = IncrementalNewlineDecoder(None, translate=False)
        lines.decode(text.decode("latin-1"), final=True)
        ends = lines.newlines  # None, one kind of line end, or a tuple of several
        if ends is None or ends == "\r\n":
            return text
        if "\r" in ends:
            self._bare = True
        if "\n" in ends:
            if self._accept_bare_lf:
                return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            self._bare = True
        return text

    def _next_chunk(self) -> Event | None:
        if self._left == 0:
            self._mode = _COMMAND
            self._scanned = self._position
            if self._last and self._held_cr:
                self._bare = True
            return DataEnd(self._last, self._bare)
        data = self._buffer[self._position : self._position + self._left]
        if not data:
            return None
        self._position += len(data)
        self._left -= len(data)
        if not self._binary:
            data = self._check_chunk(data)
        return DataChunk(data, self._bare) if data else self._next_chunk()

    def _check_chunk(self, data: bytes) -> bytes:
        """A chunk may end anywhere, so a CR at its end waits for what follows."""
        if self._held_cr:
            data = b"\r" + data
        self._held_cr = data.endswith(b"\r")
        return self._check(data[:-1] if self._held_cr else data)


def _end_prefix(buffer: bytes) -> int:
    """How many octets at the end of `buffer` may be the beginning of the end of the message."""
    for length in (4, 3, 2, 1):
        if buffer.endswith(_END[:length]):
            return length
    return 0
