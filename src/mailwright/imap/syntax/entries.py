"""The names of annotations (RFC 5464 3.2)."""

from __future__ import annotations

import re
from typing import Final

from mailwright.imap.syntax.lexer import BadSyntax, Lexer

MAX_ENTRY: Final = 250  # octets
MAX_ENTRIES: Final = 100  # in one command

_ENTRY: Final = re.compile(r"/(?:private|shared)(?:/[\x20-\x24\x26-\x29\x2b-\x2e\x30-\x7e]+)*")


def parse_entries(lexer: Lexer) -> tuple[str, ...]:
    """`(/shared/comment /private/comment)`, each once."""
    lexer.expect(40)
    entries = [parse_entry(lexer)]
    while not lexer.accept(41):
        lexer.space()
        entries.append(parse_entry(lexer))
    check_count(len(entries))
    return tuple(dict.fromkeys(entries))


def parse_entry(lexer: Lexer) -> str:
    """An entry's name, lower-case: names compare without regard to case (RFC 5464 3.2)."""
    name = lexer.astring().decode("latin-1")
    if len(name) > MAX_ENTRY:
        raise BadSyntax(f"The name of an entry has at most {MAX_ENTRY} octets", "NO", "LIMIT")
    lower = name.lower()
    if _ENTRY.fullmatch(lower) is None:
        raise BadSyntax("An entry is named /private/... or /shared/..., without '*', '%' and empty levels")
    return lower


def check_count(count: int) -> None:
    """Raises BadSyntax with NO [LIMIT] for too many entries."""
    if count > MAX_ENTRIES:
        raise BadSyntax(f"At most {MAX_ENTRIES} entries", "NO", "LIMIT")
