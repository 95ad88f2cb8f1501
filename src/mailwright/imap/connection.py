"""The wire of an IMAP server: octets in, commands out; no socket, no clock, no store.

Literals may stand anywhere in a command. The literals of APPEND are streamed, all others are kept within a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mailwright.imap.syntax.append import (
    Announced,
    AppendArgs,
    AppendReader,
    Item,
    parse_append_head,
)
from mailwright.imap.syntax.command import (
    Head,
    Parser,
    announced_by,
    events_of,
    fault_of,
    name_of,
    no_command,
    parse_command,
    read_head,
    recall,
    tag_of,
)
from mailwright.imap.syntax.events import (
    Closed,
    Command,
    CommandEnd,
    Event,
    Line,
    LiteralChunk,
    LiteralEnd,
    Message,
    MessageEnd,
    SyntaxFault,
    TextPart,
    UrlPart,
)
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.store import AppendMessage

__all__ = [
    "Closed",
    "Command",
    "CommandEnd",
    "Connection",
    "Event",
    "Line",
    "LiteralChunk",
    "LiteralEnd",
    "Message",
    "MessageEnd",
    "Parser",
    "SyntaxFault",
    "TextPart",
    "UrlPart",
]

_APPENDING: Final = frozenset({"APPEND", "REPLACE", "UID REPLACE"})  # their messages are streamed
_TAIL: Final = 32  # octets that hold any announcement of a literal

_LINE: Final = 0  # collecting a line of a command
_LITERAL: Final = 1  # collecting a literal into the command
_DECIDE: Final = 2  # the session decides whether it wants the message announced
_STREAM: Final = 3  # giving a message's octets as they come
_SKIP: Final = 4  # dropping a refused literal
_SKIP_LINE: Final = 5  # dropping the rest of a refused command
_RAW: Final = 6  # one line that is no command: AUTHENTICATE, IDLE
_MORE: Final = 7  # after a message of APPEND: another one, or the end of the command


class Connection:
    """Bounds are in octets: `line` for each line, `literal` for each literal outside APPEND, `append` for a message.

    A line ends with LF, with or without CR before it. Feeding the octets whole or one by one gives the same events.
    """

    __slots__ = (
        "_append_tag",
        "_buffer",
        "_eof",
        "_fault",
        "_following",
        "_left",
        "_output",
        "_parsers",
        "_reader",
        "_scanned",
        "_skip_tail",
        "_state",
        "_synchronising",
        "_text",
        "append_limit",
        "line_limit",
        "literal_limit",
        "utf8",
    )

    def __init__(self, parsers: Mapping[str, Parser], line: int, literal: int, append: int) -> None:
        self._parsers = parsers
        self.line_limit = line
        self.literal_limit = literal
        self.append_limit = append
        self._buffer = bytearray()
        self._output: list[bytes] = []
        self._eof = False
        self._following: list[Event] = []  # what stands in the text that was read last, its end first
        self.utf8 = False  # the client enabled UTF8=ACCEPT or IMAP4rev2
        self._clear()

    def _clear(self) -> None:
        self._state = _LINE
        self._scanned = 0  # octets of the buffer known to hold no line end
        self._text = b""  # the command so far, with its literals
        self._left = 0  # octets of the current literal still to come
        self._fault: SyntaxFault | None = None  # told once the refused command is behind us
        self._skip_tail = b""
        self._append_tag = ""
        self._reader: AppendReader | None = None  # after the first literal of an APPEND or REPLACE
        self._following.clear()
        self._synchronising = False

    def reset(self) -> None:
        """Drop all that was received, as after STARTTLS."""
        self._buffer.clear()
        self._output.clear()
        self._clear()

    def receive_data(self, data: bytes) -> None:
        """Take octets from the peer; b'' at the end of input. Call only when `next_event` gives None."""
        if data:
            self._buffer += data
        else:
            self._eof = True

    def output(self) -> bytes:
        """Continuation requests that are due, to be sent after the replies to earlier commands."""
        if not self._output:
            return b""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def expect_line(self) -> None:
        """The next line is no command: it comes as `Line`."""
        self._state = _RAW

    def accept_message(self) -> None:
        """Have the announced message sent: chunks follow, then LiteralEnd."""
        self._state = _STREAM
        if self._synchronising:
            self._output.append(b"+ OK\r\n")

    def abandon_append(self) -> None:
        """Do without the rest of an APPEND, which the session has answered; nothing when it is complete."""
        self._following.clear()
        state, left = self._state, self._left
        unsent = state == _DECIDE and self._synchronising  # RFC 3501 7.5: a message that waits for our word
        if state not in (_DECIDE, _STREAM, _MORE):
            return
        self._clear()
        if unsent:
            return
        if state == _MORE:
            self._state = _SKIP_LINE
        else:
            self._state = _SKIP
            self._left = left

    def pending_command(self) -> str:
        """The name of the pipelined command that comes next, as far as it is there; '' when nothing is."""
        if self._state != _LINE or self._text or not self._buffer:
            return ""
        head = bytes(self._buffer[:400])
        line_end = head.find(b"\n")
        if line_end >= 0:
            head = head[:line_end].rstrip(b"\r")
        return name_of(head)

    def next_event(self) -> Event | None:
        """The next event; None when more input is needed."""
        while True:
            if self._following:
                return self._following.pop()
            state = self._state
            if state == _DECIDE:
                raise RuntimeError("an announced message was neither accepted nor refused")
            if state in (_STREAM, _LITERAL, _SKIP):
                if self._left and len(self._buffer) < (self._left if state == _LITERAL else 1):
                    return self._end_of_input()
                event = self._take_literal()
            else:
                line = self._take_line()
                if line is None:
                    if self._state == state:
                        return self._end_of_input()
                    continue
                event = self._take(line)
            if event is not None:
                return event

    def _end_of_input(self) -> Event | None:
        return Closed() if self._eof else None

    def _take_literal(self) -> Event | None:
        if self._left == 0:
            return self._literal_done()
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        if self._state == _STREAM:
            return LiteralChunk(data)
        if self._state == _LITERAL:
            self._text += data
        return None

    def _literal_done(self) -> Event | None:
        if self._state == _STREAM:
            self._state = _MORE
            return LiteralEnd()
        if self._state == _LITERAL:
            self._state = _LINE if self._reader is None else _MORE
        else:
            self._state = _SKIP_LINE
        return None

    def _take_line(self) -> bytes | None:
        """The next line without its end; None when it is not complete."""
        end = self._buffer.find(b"\n", self._scanned)
        if self._state == _SKIP_LINE:
            return self._skip_line(end)
        if end < 0 or end > self.line_limit:
            if len(self._buffer) > self.line_limit:
                self._too_long()
                return None
            self._scanned = len(self._buffer)
            return None
        if end + 1 == len(self._buffer):  # mostly it is all that there is
            line = bytes(self._buffer)[:-1]
            self._buffer.clear()
        else:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
        self._scanned = 0
        return line[:-1] if line.endswith(b"\r") else line

    def _too_long(self) -> None:
        tag = self._append_tag or tag_of(self._text or bytes(self._buffer[: min(300, self.line_limit + 1)]))
        self._refuse(SyntaxFault(tag, "BAD", "TOOBIG", f"A line has at most {self.line_limit} octets"))
        self._state = _SKIP_LINE

    def _skip_line(self, end: int) -> bytes | None:
        """Drop octets up to the end of the line, keeping its last ones: they may announce a literal."""
        stop = len(self._buffer) if end < 0 else end
        self._skip_tail = (self._skip_tail + bytes(self._buffer[max(0, stop - _TAIL) : stop]))[-_TAIL:]
        self._scanned = 0
        if end < 0:
            self._buffer.clear()
            return None
        del self._buffer[: end + 1]
        tail = self._skip_tail
        self._skip_tail = b""
        return tail[:-1] if tail.endswith(b"\r") else tail

    def _take(self, line: bytes) -> Event | None:
        if self._state == _RAW:
            self._state = _LINE
            return Line(line)
        if self._state == _SKIP_LINE:
            return self._take_skipped(line)
        if self._state == _MORE:
            return self._take_more(line)
        return self._take_command(line)

    def _take_skipped(self, line: bytes) -> Event | None:
        announced = announced_by(line)
        if announced is not None and not announced.synchronising:
            self._state = _SKIP
            self._left = announced.size
            return None
        fault = self._fault
        self._clear()
        return fault

    def _refuse(self, fault: SyntaxFault) -> None:
        self._fault = fault
        self._text = b""
        self._scanned = 0

    def _take_command(self, line: bytes) -> Event | None:
        announced = announced_by(line)
        if announced is None:
            text = self._text + line
            self._clear()
            return self._parse(text)
        text = self._text + line[: line.rfind(b"{") - announced.binary]
        head = read_head(text)
        if head is not None and self._is_append(head):
            try:
                event = self._begin_append(text, head, announced)
            except BadSyntax as error:
                fault = SyntaxFault(head.tag, error.condition, error.code, error.text)
                return self._refuse_literal(announced, fault)
            if event is not None:
                return event
        return self._collect(text, announced, tag_of(text))

    def _is_append(self, head: Head) -> bool:
        return head.name in _APPENDING and head.name in self._parsers

    def _collect(self, text: bytes, announced: Announced, tag: str) -> Event | None:
        """Have a literal that belongs to the text of the command."""
        size = announced.size
        # Many literals together are bounded like two.
        if size > self.literal_limit or len(text) + size > 2 * (self.line_limit + self.literal_limit):
            text_of_fault = f"A literal has at most {self.literal_limit} octets here"
            return self._refuse_literal(announced, SyntaxFault(tag, "BAD", "TOOBIG", text_of_fault))
        self._text = text + (b"~{%d}\r\n" if announced.binary else b"{%d}\r\n") % size
        self._left = size
        self._state = _LITERAL
        if announced.synchronising:
            self._output.append(b"+ OK\r\n")
        return None

    def _refuse_literal(self, announced: Announced, fault: SyntaxFault) -> Event | None:
        """No continuation for a literal that waits for one; else it is dropped as it comes, and the rest with it."""
        if announced.synchronising:
            self._clear()
            return fault
        self._refuse(fault)
        self._state = _SKIP
        self._left = announced.size
        return None

    def _parse(self, text: bytes) -> Event:
        if (said := recall(text, self.utf8)) is not None:
            return said
        head = read_head(text)
        if head is None:
            return no_command(text)
        if not self._is_append(head):
            return parse_command(text, head, self._parsers, self.utf8)
        try:
            event = self._begin_append(text, head, None)
        except BadSyntax as error:
            return fault_of(head, error)
        assert event is not None
        return event

    def _begin_append(self, text: bytes, head: Head, announced: Announced | None) -> Event | None:
        """An APPEND or REPLACE up to its first message; None when the literal is one of its arguments."""
        lexer = Lexer(text, head.end, self.utf8)
        found = parse_append_head(lexer, head.name != "APPEND")
        if found is None:
            if announced is None:
                raise BadSyntax("Missing argument")
            return None
        reader = AppendReader(self.utf8)
        items = reader.read(lexer, announced)
        if items is None:
            return None
        mailbox, replaced = found
        message = items[0]
        assert isinstance(message, AppendMessage)
        self._follow(head.tag, items, announced)
        if announced is not None:
            self._reader = reader
        first = self._following.pop()
        assert isinstance(first, Message)
        args = AppendArgs(mailbox, message, replaced)
        return Command(head.tag, head.name.removeprefix("UID "), head.name.startswith("UID "), args)

    def _follow(self, tag: str, items: list[Item], announced: Announced | None) -> None:
        """Make events of what an APPEND's text holds, and expect the literal. Raises BadSyntax."""
        if announced is not None and announced.size > self.append_limit:
            raise BadSyntax(f"A message has at most {self.append_limit} octets", "NO", "TOOBIG")
        self._following = events_of(tag, items)[::-1]
        self._text = b""
        if announced is not None:
            self._append_tag = tag
            self._synchronising = announced.synchronising
            self._left = announced.size
            self._state = _DECIDE

    def _take_more(self, line: bytes) -> Event | None:
        """After a literal of APPEND: what follows it (RFC 3502, RFC 4469)."""
        tag, reader = self._append_tag, self._reader
        assert reader is not None
        announced = announced_by(line)
        text = self._text + (line if announced is None else line[: line.rfind(b"{") - announced.binary])
        try:
            items = reader.read(Lexer(text, 0, self.utf8), announced)
            if items is not None:
                if announced is None:
                    self._clear()
                self._follow(tag, items, announced)
        except BadSyntax as error:
            fault = SyntaxFault(tag, error.condition, error.code, error.text)
            if announced is not None:
                return self._refuse_literal(announced, fault)
            self._clear()
            return fault
        if items is None and announced is not None:
            return self._collect(text, announced, tag)
        return None
