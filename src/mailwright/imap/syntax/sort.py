"""SORT and THREAD (RFC 5256 BASE.6.4.SORT, BASE.6.4.THREAD, RFC 5957, RFC 6203)."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.returns import ReturnOptions, parse_return
from mailwright.imap.syntax.search import (
    SearchArgs,
    parse_charset,
    parse_keys,
    refuse,
)

SORT_KEYS: Final = frozenset(
    {
        "ARRIVAL",
        "CC",
        "DATE",
        "DISPLAYFROM",
        "DISPLAYTO",
        "FROM",
        "RELEVANCY",
        "SIZE",
        "SUBJECT",
        "TO",
    }
)
ALGORITHMS: Final = frozenset({"ORDEREDSUBJECT", "REFERENCES"})
MAX_CRITERIA: Final = 30


class Criterion(NamedTuple):
    """What to sort by."""

    key: str
    reverse: bool = False


class SortArgs(NamedTuple):
    """SORT. `returns` is None for the plain command."""

    criteria: tuple[Criterion, ...]
    search: SearchArgs
    returns: ReturnOptions | None = None


class ThreadArgs(NamedTuple):
    algorithm: str
    search: SearchArgs


def parse_sort(lexer: Lexer) -> SortArgs:
    """`[RETURN (...) ] (criteria) charset key...`; some write RETURN behind the charset."""
    returns = parse_return(lexer)
    criteria: tuple[Criterion, ...] = ()
    try:
        criteria = _parse_criteria(lexer)
        lexer.space()
        charset = parse_charset(lexer)
        lexer.space()
        returns = returns or parse_return(lexer)
        search = parse_keys(lexer, charset, returns)
    except BadSyntax as error:
        search = refuse(lexer, returns, error)
    return SortArgs(criteria, search, returns)


def _parse_criteria(lexer: Lexer) -> tuple[Criterion, ...]:
    lexer.expect(40)
    criteria: list[Criterion] = []
    while not criteria or not lexer.accept(41):
        if criteria:
            lexer.space()
        word = lexer.word()
        reverse = word == "REVERSE"
        if reverse:
            lexer.space()
            word = lexer.word()
        if word not in SORT_KEYS:
            raise BadSyntax(f"Unknown sort key {word}")
        criteria.append(Criterion(word, reverse))
        if len(criteria) > MAX_CRITERIA:
            raise BadSyntax(f"At most {MAX_CRITERIA} sort keys", "NO", "LIMIT")
    return tuple(criteria)


def parse_thread(lexer: Lexer) -> ThreadArgs:
    """`algorithm charset key...`."""
    algorithm = lexer.word()
    if algorithm not in ALGORITHMS:
        raise BadSyntax(f"Unknown algorithm {algorithm}; there are REFERENCES and ORDEREDSUBJECT")
    lexer.space()
    charset = parse_charset(lexer)
    lexer.space()
    return ThreadArgs(algorithm, parse_keys(lexer, charset))
