"""The text of APPEND and REPLACE around their literals (RFC 3501 6.3.11, 3502, 3516, 4469, 6855 4, 8508)."""

from __future__ import annotations

from typing import NamedTuple

from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox
from mailwright.imap.syntax.sequence import SequenceSet, parse_sequence_set
from mailwright.imap.syntax.store import AppendMessage, parse_append_options


class Announced(NamedTuple):
    """A literal that follows the text."""

    size: int
    binary: bool  # literal8 (RFC 3516 4.4)
    synchronising: bool


class AppendArgs(NamedTuple):
    """APPEND up to its first message; of REPLACE also which message goes."""

    mailbox: str
    message: AppendMessage
    replaced: SequenceSet | None = None


class Url(NamedTuple):
    """A part of a CATENATE that is somewhere else."""

    url: bytes


class Text(NamedTuple):
    """A part of a CATENATE that is sent."""

    size: int


class End(NamedTuple):
    """`whole`: a message that came in parts is complete; `last`: so is the command."""

    whole: bool
    last: bool


Item = AppendMessage | Url | Text | End


class AppendReader:
    """Reads the text between the literals that are streamed; it knows where in the grammar the last one stood."""

    __slots__ = ("_closing", "_first", "_in_parts", "utf8")

    def __init__(self, utf8: bool) -> None:
        self.utf8 = utf8  # UTF8 (...) is allowed
        self._first = True  # no message was seen yet
        self._in_parts = False  # within the parentheses of CATENATE
        self._closing = False  # the literal stood in UTF8 (...)

    def read(self, lexer: Lexer, announced: Announced | None) -> list[Item] | None:
        """What the text up to the announced literal, or to the end of the command, holds.

        None: the literal is an argument and belongs to the text; read again once it is there. Raises BadSyntax.
        """
        if self._closing:
            lexer.expect(41)
        items: list[Item] = []
        first, in_parts, opened = self._first, self._in_parts, False
        while True:
            part: Item | None
            if in_parts:
                if not opened and lexer.accept(41):
                    in_parts = False
                    items.append(End(True, False))
                    continue
                if not opened:
                    lexer.space()
                part, closing = self._read_part(lexer, announced)
                opened = False
            elif not first and announced is None and _at_end(lexer):
                items.append(End(False, True))
                return items
            else:
                part, closing = self._read_message(lexer, announced)
                first = False
                in_parts = opened = part.catenate
            if part is None:
                return None
            items.append(part)
            if isinstance(part, Text) or (isinstance(part, AppendMessage) and not part.catenate):
                self._first, self._in_parts, self._closing = first, in_parts, closing
                return items

    def _read_message(self, lexer: Lexer, announced: Announced | None) -> tuple[AppendMessage, bool]:
        lexer.space()
        flags, date = parse_append_options(lexer)
        closing = False
        if not lexer.at_end():
            word = lexer.word()
            lexer.space()
            lexer.expect(40)
            if word == "CATENATE":
                return AppendMessage(flags, date, False, 0, False, catenate=True), False
            closing = self._expect_utf8(word, announced)
        literal = _expect_literal(lexer, announced)
        return AppendMessage(flags, date, literal.binary, literal.size, literal.synchronising), closing

    def _read_part(self, lexer: Lexer, announced: Announced | None) -> tuple[Url | Text | None, bool]:
        word = lexer.word()
        lexer.space()
        if word == "URL":
            if lexer.at_end() and announced is not None:
                return None, False
            return Url(lexer.astring()), False
        closing = False
        if word != "TEXT":
            lexer.expect(40)
            closing = self._expect_utf8(word, announced)
        return Text(_expect_literal(lexer, announced).size), closing

    def _expect_utf8(self, word: str, announced: Announced | None) -> bool:
        if word != "UTF8":
            raise BadSyntax(f"Unknown kind of message data {word}")
        if not self.utf8:
            raise BadSyntax("UTF8 needs ENABLE UTF8=ACCEPT")
        if announced is not None and not announced.binary:
            raise BadSyntax("UTF8 needs a literal8, announced with '~' before it")
        return True


def _at_end(lexer: Lexer) -> bool:
    return lexer.text[lexer.pos : lexer.pos + 2] in (b"", b" ", b"  ")


def _expect_literal(lexer: Lexer, announced: Announced | None) -> Announced:
    if announced is None or not lexer.at_end():
        raise BadSyntax(f"expected a message literal {lexer.where()}")
    return announced


def parse_append_head(lexer: Lexer, replacing: bool) -> tuple[str, SequenceSet | None] | None:
    """The mailbox, and before it what REPLACE replaces; None when the mailbox comes as the literal that follows."""
    replaced = None
    lexer.space()
    if replacing:
        replaced = parse_sequence_set(lexer)
        if len(replaced.ranges) != 1 or replaced.ranges[0][0] != replaced.ranges[0][1]:
            raise BadSyntax("REPLACE replaces one message")
        lexer.space()
    if lexer.at_end():
        return None
    return parse_mailbox(lexer), replaced
