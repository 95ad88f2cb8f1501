"""Arguments of SELECT and EXAMINE (RFC 7162 3.1.8, 3.2.5)."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.imap.syntax.lexer import MAX_NUMBER64, BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox
from mailwright.imap.syntax.sequence import STAR, Range, SequenceSet, parse_sequence_set

_OPEN: Final = 40
_CLOSE: Final = 41
_SPACE: Final = 32


class Match(NamedTuple):
    """`length` messages side by side that a client remembers: sequence numbers and UIDs rise from these."""

    number: int
    uid: int
    length: int


class Resync(NamedTuple):
    """What a client remembers of a mailbox. `known` None: all UIDs; `matches` rise."""

    uidvalidity: int
    modseq: int
    known: list[Range] | None
    matches: list[Match]


class SelectArgs(NamedTuple):
    """`refusal` tells why the mailbox's name is none, which is `mailbox` '' then."""

    mailbox: str
    condstore: bool = False
    resync: Resync | None = None
    refusal: str = ""


def parse_select(lexer: Lexer) -> SelectArgs:
    args = _parse_name(lexer)
    if lexer.peek() != _SPACE or lexer.pos + 1 >= len(lexer.text):
        return args
    lexer.space()
    lexer.expect(_OPEN)
    while True:
        word = lexer.word()
        if word == "CONDSTORE":
            args = args._replace(condstore=True)
        elif word == "QRESYNC":
            lexer.space()
            args = args._replace(resync=_parse_resync(lexer))
        else:
            raise BadSyntax("Unknown SELECT parameter")
        if lexer.accept(_CLOSE):
            return args
        lexer.space()


def _parse_name(lexer: Lexer) -> SelectArgs:
    try:
        return SelectArgs(parse_mailbox(lexer))
    except BadSyntax as error:
        if error.condition == "BAD":
            raise
        return SelectArgs("", refusal=error.text)


def _parse_resync(lexer: Lexer) -> Resync:
    lexer.expect(_OPEN)
    uidvalidity = lexer.number()
    lexer.space()
    modseq = lexer.number(MAX_NUMBER64)
    known: list[Range] | None = None
    matches: list[Match] = []
    while not lexer.accept(_CLOSE):
        lexer.space()
        if lexer.accept(_OPEN):
            numbers = _parse_known(lexer)
            lexer.space()
            matches = _pair(numbers, _parse_known(lexer))
            lexer.expect(_CLOSE)
            lexer.expect(_CLOSE)
            break
        if known is not None:
            raise BadSyntax(f"expected ')' {lexer.where()}")
        known = _parse_known(lexer).resolve(0)
    return Resync(uidvalidity, modseq, known, matches)


def _parse_known(lexer: Lexer) -> SequenceSet:
    found = parse_sequence_set(lexer)
    if found.saved or any(STAR in pair for pair in found.ranges):
        raise BadSyntax("What a client knows of a mailbox holds no '*' and no '$'")
    return found


def _pair(numbers: SequenceSet, uids: SequenceSet) -> list[Match]:
    """The n-th sequence number with the n-th UID. Raises BadSyntax when there are more of one kind."""
    left, right = numbers.resolve(0), uids.resolve(0)
    found: list[Match] = []
    i = j = skipped_left = skipped_right = 0
    while i < len(left) and j < len(right):
        room_left = left[i][1] - left[i][0] + 1 - skipped_left
        room_right = right[j][1] - right[j][0] + 1 - skipped_right
        count = min(room_left, room_right)
        found.append(Match(left[i][0] + skipped_left, right[j][0] + skipped_right, count))
        skipped_left += count
        skipped_right += count
        if count == room_left:
            i, skipped_left = i + 1, 0
        if count == room_right:
            j, skipped_right = j + 1, 0
    if i < len(left) or j < len(right):
        raise BadSyntax("There must be as many UIDs as sequence numbers")
    return found
