"""What SEARCH and SORT are to return: RETURN (...) of RFC 4731 and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailwright.imap.syntax.fetch import Attribute, parse_attribute_list
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.sequence import parse_partial

RETURN_NAMES: Final = frozenset({"MIN", "MAX", "ALL", "COUNT", "SAVE", "CONTEXT", "UPDATE", "RELEVANCY"})


@dataclass(frozen=True)
class ReturnOptions:
    """RETURN (...) of RFC 4731, 5182 and 5267. `partial` is a range of RFC 9394, from the end when negative.

    `items` are to be fetched of messages that come to a result which is kept up to date (RFC 5465 7).
    """

    names: frozenset[str] = frozenset()
    partial: tuple[int, int] | None = None
    items: tuple[Attribute, ...] = ()


def parse_return(lexer: Lexer) -> ReturnOptions | None:
    """`RETURN (...) `, when it comes next."""
    if lexer.text[lexer.pos : lexer.pos + 7].upper() != b"RETURN ":
        return None
    lexer.pos += 7
    returns = _parse_returns(lexer)
    lexer.space()
    return returns


def _parse_returns(lexer: Lexer) -> ReturnOptions:
    names: set[str] = set()
    partial: tuple[int, int] | None = None
    items: tuple[Attribute, ...] = ()
    lexer.expect(40)
    while not lexer.accept(41):
        if names or partial is not None:
            lexer.space()
        name = lexer.word()
        if name == "PARTIAL":
            lexer.space()
            if partial is not None:
                raise BadSyntax("PARTIAL stands twice")
            partial = parse_partial(lexer)
        elif name in RETURN_NAMES:
            names.add(name)
            if name == "UPDATE" and lexer.text[lexer.pos : lexer.pos + 2] == b" (":
                lexer.space()
                items = parse_attribute_list(lexer)
        else:
            raise BadSyntax(f"Unknown search return option {name}")
    if partial is not None and "ALL" in names:
        raise BadSyntax("Either PARTIAL or ALL")  # RFC 9394 3.1
    if partial is None and not names - {"CONTEXT", "UPDATE", "RELEVANCY"}:
        names.add("ALL")
    return ReturnOptions(frozenset(names), partial, items)
