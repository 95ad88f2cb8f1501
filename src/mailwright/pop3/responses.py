"""What the server says: every text in one place, and messages as they go over the wire (RFC 1939 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_LINE: Final = 512  # octets of a response line with the CRLF (RFC 2449 4)
END: Final = b".\r\n"  # of a response of several lines

# Response codes
AUTH: Final = "AUTH"  # the credentials (RFC 3206 4)
TEMPORARY: Final = "SYS/TEMP"  # the server; later it may do (RFC 3206 3)
PERMANENT: Final = "SYS/PERM"  # the server, until a person mends it
UTF8: Final = "UTF8"  # the client must know UTF-8 for this (RFC 6856 5)
IN_USE: Final = "IN-USE"  # the maildrop is locked (RFC 2449 8.1.2)


def ok(text: str) -> bytes:
    """A line of success."""
    return _line("+OK ", text)


def err(text: str, code: str = "") -> bytes:
    """A line of failure, with a response code where one says more (RFC 2449 8)."""
    return _line(f"-ERR [{code}] " if code else "-ERR ", text)


def _line(prefix: str, text: str) -> bytes:
    """Controls and line ends in the text become `?`, long lines are cut."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
    return (prefix + text)[: MAX_LINE - 2].rstrip().encode("ascii") + b"\r\n"


def challenge(data: bytes) -> bytes:
    """`data` is in base64 (RFC 5034 4)."""
    return b"+ " + data + b"\r\n"


def lines(first: bytes, rest: Iterable[str]) -> bytes:
    """A response of a few lines, none of which begins with a dot."""
    return first + "".join(f"{line}\r\n" for line in rest).encode("ascii") + END


# Before login
LOG_IN_FIRST: Final = err("Log in first")
LOGGED_IN_ALREADY: Final = err("You are logged in already")
USER_FIRST: Final = err("Send USER first")
SEND_PASS: Final = ok("Now send PASS")
NEEDS_TLS: Final = err(
    "Passwords are taken under TLS only; turn TLS on in the settings of the mail program", AUTH
)
CANCELLED: Final = err("The login was cancelled")
RESPONSE_TOO_LONG: Final = err("The response is too long", AUTH)
NOT_ANOTHER: Final = err("Acting as another user is not possible; leave the authorization name empty", AUTH)
MAILDROP_IN_USE: Final = err(
    "Another POP3 session has this mailbox open; try again when it has ended", IN_USE
)
STORE_UNAVAILABLE: Final = err("The mail store does not answer at the moment; try again later", TEMPORARY)
NO_INBOX: Final = err("This account has no INBOX; ask the postmaster", PERMANENT)

BEGIN_TLS: Final = ok("Begin TLS now")
NO_TLS: Final = err("TLS is not set up on this server")
TLS_ALREADY: Final = err("This connection is under TLS already")
UTF8_ON: Final = ok("UTF-8 it is")
LANGUAGES: Final = lines(ok("Languages:"), ("en English",))
ENGLISH: Final = ok("en English it is")
NO_SUCH_LANGUAGE: Final = err("Only English (en) is spoken here")

# After it
NOOP: Final = ok("")
GONE: Final = err("This message was removed by another program meanwhile")
UNREADABLE: Final = err("The message cannot be read at the moment; try again later", TEMPORARY)
NEEDS_UTF8: Final = err(
    "The header of this message is long and not in ASCII; say UTF8 before you log in", UTF8
)
GOODBYE: Final = ok("Goodbye")
NOT_REMOVED: Final = err("The store failed, so no message was removed; try again later", TEMPORARY)
OWN_ERROR: Final = err("The server met an error of its own; its log says more", PERMANENT)

# The end
TOO_MANY_ERRORS: Final = err("Too many errors; closing")
TOO_MANY_CONNECTIONS: Final = err("Too many connections; try again later", TEMPORARY)
SHUTTING_DOWN: Final = err("The server is shutting down; try again in a minute", TEMPORARY)


def greeting(hostname: str) -> bytes:
    """Without a timestamp in `<>`, which would offer APOP (RFC 1939 7)."""
    return ok(f"{hostname} POP3 ready")


def logged_in(count: int, size: int) -> bytes:
    return ok(f"Logged in, {_messages(count)} ({size} octets)")


def denied(text: str, temporary: bool) -> bytes:
    """What the directory said to a login."""
    return err(text[:1].upper() + text[1:], TEMPORARY if temporary else AUTH)


def unknown_mechanism(offered: tuple[str, ...]) -> bytes:
    return err(f"This mechanism is not offered here; {' '.join(offered)} are")


def status(count: int, size: int) -> bytes:
    """The drop listing of STAT (RFC 1939 5)."""
    return b"+OK %d %d\r\n" % (count, size)


def listing_begins(count: int, size: int) -> bytes:
    return ok(f"{_messages(count)} ({size} octets)")


def pair(number: int, value: str) -> bytes:
    """The answer to LIST or UIDL of one message."""
    return f"+OK {number} {value}\r\n".encode("ascii")


def pairs(items: Iterable[tuple[int, int | str]]) -> bytes:
    """Some lines of LIST or UIDL."""
    return "".join([f"{number} {value}\r\n" for number, value in items]).encode("ascii")


def no_such_message(number: int, count: int) -> bytes:
    return err(f"There is no message {number}; the mailbox has {_messages(count)}")


def is_deleted(number: int) -> bytes:
    return err(f"Message {number} is marked as deleted; RSET takes that back")


def deleted(number: int) -> bytes:
    return ok(f"Message {number} will be removed at QUIT")


def goodbye(removed: int) -> bytes:
    return ok(f"Goodbye, {_messages(removed)} removed") if removed else GOODBYE


def message_begins(size: int) -> bytes:
    return ok(f"{size} octets")


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


class Stuffer:
    """Byte-stuffs a message that comes in pieces (RFC 1939 3).

    A dot after a bare LF is stuffed too: clients that take such an LF for a line end would else see the end there.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last octets that were sent

    def feed(self, piece: bytes) -> bytes:
        """The piece as it is sent."""
        if not piece:
            return b""
        stuffed = piece.replace(b"\n.", b"\n..")
        if self._tail.endswith(b"\n") and piece.startswith(b"."):
            stuffed = b"." + stuffed
        self._tail = piece[-2:] if len(piece) > 1 else self._tail[-1:] + piece
        return stuffed

    def end(self) -> bytes:
        """The end of the response, on a line of its own."""
        return END if self._tail == b"\r\n" else b"\r\n" + END


class Top:
    """Cuts a message that comes in pieces behind its header, the empty line and some lines of the body."""

    __slots__ = ("_in_header", "_lines", "_tail", "done")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._in_header = True
        self._tail = b"\n"  # what may be the beginning of the empty line
        self.done = False

    def feed(self, piece: bytes) -> bytes:
        """As much of the piece as belongs to the answer."""
        start = 0
        if self._in_header:
            start = self._header_end(piece)
            if start < 0:
                return piece
            self._in_header = False
        count = piece.count(b"\n", start)
        if count < self._lines:
            self._lines -= count
            return piece
        self.done = True
        return piece[: _line_end(piece, start, self._lines)]

    def _header_end(self, piece: bytes) -> int:
        """Where in the piece the body begins; -1 when it is still to come."""
        text = self._tail + piece
        end = body_start(text)
        if end >= 0:
            return end - len(self._tail)
        self._tail = text[-2:]
        return -1


def body_start(text: bytes) -> int:
    """Where the body begins behind a line of a header and the empty line; -1: not in this text."""
    ends = [end for end in (_after(text, b"\n\r\n"), _after(text, b"\n\n")) if end >= 0]
    return min(ends, default=-1)


def _after(text: bytes, wanted: bytes) -> int:
    found = text.find(wanted)
    return found + len(wanted) if found >= 0 else -1


def _line_end(piece: bytes, start: int, lines: int) -> int:
    """The position behind that many lines from `start`; there are so many."""
    if lines == 0:
        return start
    low, high = start, len(piece)  # the last of them ends in here
    while high - low > 1:
        middle = (low + high) // 2
        count = piece.count(b"\n", low, middle)
        if count >= lines:
            high = middle
        else:
            lines -= count
            low = middle
    return high
