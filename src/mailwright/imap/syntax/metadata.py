"""Arguments of GETMETADATA and SETMETADATA (RFC 5464 5)."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.imap.syntax.entries import check_count, parse_entries, parse_entry
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox

INFINITY: Final = 1_000_000


class GetMetadataArgs(NamedTuple):
    """`mailbox` is '' for the server, `max_size` None without a bound."""

    mailbox: str
    entries: tuple[str, ...]
    depth: int = 0
    max_size: int | None = None


class SetMetadataArgs(NamedTuple):
    """None as a value removes the entry."""

    mailbox: str
    entries: tuple[tuple[str, bytes | None], ...]


def parse_getmetadata(lexer: Lexer) -> GetMetadataArgs:
    """The options stand before the mailbox, or as in the examples of the RFC's earlier text behind it."""
    options: dict[str, int] = {}
    if lexer.peek() == 40:
        options = _parse_options(lexer)
        lexer.space()
    mailbox = parse_mailbox(lexer)
    lexer.space()
    if not options and lexer.peek() == 40 and lexer.text[lexer.pos + 1 : lexer.pos + 2] in b"MDmd":
        options = _parse_options(lexer)
        lexer.space()
    entries = parse_entries(lexer) if lexer.peek() == 40 else (parse_entry(lexer),)
    return GetMetadataArgs(mailbox, entries, options.get("DEPTH", 0), options.get("MAXSIZE"))


def _parse_options(lexer: Lexer) -> dict[str, int]:
    lexer.expect(40)
    options: dict[str, int] = {}
    while not lexer.accept(41):
        if options:
            lexer.space()
        name = lexer.word()
        lexer.space()
        if name in options:
            raise BadSyntax(f"{name} is given twice")
        if name == "MAXSIZE":
            options[name] = lexer.number()
        elif name == "DEPTH":
            options[name] = _parse_depth(lexer)
        else:
            raise BadSyntax(f"Unknown GETMETADATA option {name}")
    return options


def _parse_depth(lexer: Lexer) -> int:
    depth = lexer.word()
    if depth not in ("0", "1", "INFINITY"):
        raise BadSyntax("DEPTH is 0, 1 or infinity")
    return INFINITY if depth == "INFINITY" else int(depth)


def parse_setmetadata(lexer: Lexer) -> SetMetadataArgs:
    mailbox = parse_mailbox(lexer)
    lexer.space()
    lexer.expect(40)
    values: dict[str, bytes | None] = {}
    while True:
        entry = parse_entry(lexer)
        if entry in ("/private", "/shared"):
            raise BadSyntax(f"{entry} has no value of its own")
        lexer.space()
        values[entry] = lexer.nstring()
        if lexer.accept(41):
            break
        lexer.space()
        check_count(len(values) + 1)
    return SetMetadataArgs(mailbox, tuple(values.items()))
