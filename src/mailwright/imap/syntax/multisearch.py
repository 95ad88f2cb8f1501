"""ESEARCH of several mailboxes (RFC 7377 4, with the mailbox filters of RFC 5465 8)."""

from __future__ import annotations

from typing import Final, NamedTuple
from unicodedata import normalize

from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox
from mailwright.imap.syntax.search import SearchArgs, parse_search

MAX_SOURCES: Final = 1000  # mailboxes named in one command
_ALONE: Final = frozenset({"SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED"})
_NAMING: Final = frozenset({"SUBTREE", "SUBTREE-ONE", "MAILBOXES"})


class Source(NamedTuple):
    """Mailboxes: `kind` is a filter of RFC 5465 6 in capitals, `names` what it names."""

    kind: str
    names: tuple[str, ...] = ()


class MultisearchArgs(NamedTuple):
    sources: tuple[Source, ...]
    search: SearchArgs


def parse_multisearch(lexer: Lexer) -> MultisearchArgs:
    """`[IN (source...) ] [RETURN (...) ] [CHARSET x ] key...`. Without IN it is the selected mailbox."""
    sources: list[Source] = []
    if lexer.text[lexer.pos : lexer.pos + 3].upper() == b"IN ":
        lexer.pos += 3
        sources = _parse_sources(lexer)
        lexer.space()
    return MultisearchArgs(tuple(sources) or (Source("SELECTED"),), parse_search(lexer))


def _parse_sources(lexer: Lexer) -> list[Source]:
    lexer.expect(40)
    sources: list[Source] = []
    count = 0
    while not sources or not lexer.accept(41):
        if sources:
            lexer.space()
        if lexer.peek() == 40:
            raise BadSyntax("There are no scope options")  # RFC 7377 2.2 has none of its own
        sources.append(parse_source(lexer))
        if sources[-1].kind == "SELECTED-DELAYED":
            raise BadSyntax("SELECTED-DELAYED is for NOTIFY alone")  # RFC 7377 2.2
        count += 1 + len(sources[-1].names)
        if count > MAX_SOURCES:
            raise BadSyntax(f"At most {MAX_SOURCES} mailboxes", "NO", "LIMIT")
    return sources


def parse_source(lexer: Lexer) -> Source:
    kind = lexer.word()
    if kind not in _ALONE | _NAMING:
        raise BadSyntax(f"Unknown kind of mailboxes {kind}")
    if kind not in _NAMING:
        return Source(kind)
    lexer.space()
    return Source(kind, _parse_names(lexer))


def _parse_names(lexer: Lexer) -> tuple[str, ...]:
    if not lexer.accept(40):
        return (_parse_name(lexer),)
    names = [_parse_name(lexer)]
    while not lexer.accept(41):
        lexer.space()
        names.append(_parse_name(lexer))
    return tuple(names)


def _parse_name(lexer: Lexer) -> str:
    """A name in NFC, as mailboxes are called."""
    return normalize("NFC", parse_mailbox(lexer))
