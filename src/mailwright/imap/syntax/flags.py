"""Flags and keywords of messages (RFC 3501 2.3.2). The bits are those of the store's `Flag`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mailwright.imap.syntax.lexer import BadSyntax, Lexer

SEEN: Final = 1
ANSWERED: Final = 2
FLAGGED: Final = 4
DELETED: Final = 8
DRAFT: Final = 16
ALL_FLAGS: Final = 31

NAMES: Final = (
    (ANSWERED, "\\Answered"),
    (FLAGGED, "\\Flagged"),
    (DELETED, "\\Deleted"),
    (SEEN, "\\Seen"),
    (DRAFT, "\\Draft"),
)
_MASKS: Final = {name[1:].upper().encode("ascii"): mask for mask, name in NAMES}
_KEYWORD: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
MAX_KEYWORD: Final = 100  # characters
MAX_KEYWORDS: Final = 64  # in one command


class Flags(NamedTuple):
    """System flags as a bit mask, and keywords sorted, each once."""

    mask: int = 0
    keywords: tuple[str, ...] = ()


def parse_flag_list(lexer: Lexer) -> Flags:
    """`(\\Seen $Forwarded)`. Raises BadSyntax for `\\Recent` and unknown system flags.

    Spaces beside the parentheses are forgiven: a migration out of Dovecot (`doveadm backup`) sends `( $Forwarded)`.
    """
    lexer.expect(40)
    lexer.spaces()
    if lexer.accept(41):
        return Flags()
    found = parse_flags(lexer)
    lexer.expect(41)
    return found


def parse_flags(lexer: Lexer) -> Flags:
    """Flags separated by spaces, at least one (STORE allows them without parentheses)."""
    mask = 0
    keywords: dict[str, str] = {}
    while True:
        if lexer.accept(92):  # '\'
            mask |= _system_flag(lexer)
        else:
            keyword = parse_keyword(lexer)
            keywords.setdefault(keyword.lower(), keyword)
        if not lexer.spaces() or lexer.at_end() or lexer.peek() == 41:
            break
    if len(keywords) > MAX_KEYWORDS:
        raise BadSyntax(f"At most {MAX_KEYWORDS} keywords in one command", "NO", "LIMIT")
    return Flags(mask, tuple(sorted(keywords.values())))


def _system_flag(lexer: Lexer) -> int:
    name = lexer.atom().upper()
    mask = _MASKS.get(name)
    if mask is None:
        if name == b"RECENT":
            raise BadSyntax("\\Recent cannot be set by a client")
        raise BadSyntax(f"Unknown system flag \\{name.decode('ascii').capitalize()}")
    return mask


def parse_keyword(lexer: Lexer) -> str:
    """A keyword (`flag-keyword`). Raises BadSyntax when it is longer than MAX_KEYWORD."""
    found = lexer.match(_KEYWORD)
    if found is None:
        raise BadSyntax(f"expected a flag {lexer.where()}")
    if len(found) > MAX_KEYWORD:
        raise BadSyntax(f"A keyword has at most {MAX_KEYWORD} characters", "NO", "LIMIT")
    return found.decode("ascii")


def format_flags(mask: int, keywords: str, recent: bool = False) -> str:
    """`(\\Seen $Junk)`. `keywords` are separated by spaces, as the store keeps them."""
    names = [name for bit, name in NAMES if mask & bit]
    if recent:
        names.append("\\Recent")
    if keywords:
        names.append(keywords)
    return "(" + " ".join(names) + ")"
