"""Arguments of STORE, COPY, MOVE and APPEND."""

from __future__ import annotations

from typing import NamedTuple

from mailwright.imap.syntax.dates import parse_date_time
from mailwright.imap.syntax.flags import Flags, parse_flag_list, parse_flags
from mailwright.imap.syntax.lexer import MAX_NUMBER64, BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox
from mailwright.imap.syntax.sequence import SequenceSet, parse_sequence_set


class StoreArgs(NamedTuple):
    """STORE. `mode` is '' (replace), '+' or '-'; `unchanged_since` is RFC 7162's modifier."""

    numbers: SequenceSet
    mode: str
    silent: bool
    flags: Flags
    unchanged_since: int | None = None


class CopyArgs(NamedTuple):
    """COPY and MOVE."""

    numbers: SequenceSet
    mailbox: str


class AppendMessage(NamedTuple):
    """One message of an APPEND, before its literal. `date` is seconds since the epoch; None for now."""

    flags: Flags
    date: int | None
    binary: bool  # sent as literal8 (RFC 3516 4.4)
    size: int
    synchronising: bool  # the client waits for a continuation before it sends the message
    catenate: bool = False  # it comes in parts (RFC 4469), and size says nothing


def parse_store(lexer: Lexer) -> StoreArgs:
    numbers = parse_sequence_set(lexer)
    lexer.space()
    unchanged_since = None
    if lexer.accept(40):
        if lexer.word() != "UNCHANGEDSINCE":
            raise BadSyntax("expected UNCHANGEDSINCE")
        lexer.space()
        unchanged_since = lexer.number(MAX_NUMBER64)
        lexer.expect(41)
        lexer.space()
    mode = "+" if lexer.accept(43) else "-" if lexer.accept(45) else ""
    word = lexer.word()
    if word not in ("FLAGS", "FLAGS.SILENT"):
        raise BadSyntax("expected FLAGS or FLAGS.SILENT")
    lexer.space()
    flags = parse_flag_list(lexer) if lexer.peek() == 40 else parse_flags(lexer)
    return StoreArgs(numbers, mode, word == "FLAGS.SILENT", flags, unchanged_since)


def parse_copy(lexer: Lexer) -> CopyArgs:
    numbers = parse_sequence_set(lexer)
    lexer.space()
    return CopyArgs(numbers, parse_mailbox(lexer))


def parse_append_options(lexer: Lexer) -> tuple[Flags, int | None]:
    """`[(flags) ]["date-time" ]`, each with the space after it, up to the message."""
    flags = Flags()
    date = None
    if lexer.peek() == 40:
        flags = parse_flag_list(lexer)
        lexer.space()
    if lexer.peek() == 34:
        date = parse_date_time(lexer)
        lexer.space()
    return flags, date
