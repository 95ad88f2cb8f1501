"""Arguments of the commands about access control (RFC 4314 8) and quotas (RFC 9208 7)."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox

# RFC 4314 2.1.1: what the obsolete rights stand for.
_MEMBERS: Final = {"c": "k", "d": "xte"}
RIGHTS: Final = "lrswipkxtea"


class AclArgs(NamedTuple):
    """SETACL; of DELETEACL and LISTRIGHTS without `mode` ('', '+' or '-') and `rights`.

    `shown` is the identifier as the client wrote it.
    """

    mailbox: str
    identifier: str
    shown: bytes
    mode: str = ""
    rights: str = ""


def parse_identified(lexer: Lexer) -> AclArgs:
    """A mailbox and an identifier."""
    mailbox = parse_mailbox(lexer)
    lexer.space()
    shown = lexer.mailbox_atom()
    try:
        return AclArgs(mailbox, shown.decode("utf-8"), shown)
    except UnicodeDecodeError:
        raise BadSyntax("An identifier is UTF-8") from None


def parse_setacl(lexer: Lexer) -> AclArgs:
    args = parse_identified(lexer)
    lexer.space()
    text = lexer.astring().decode("latin-1")
    mode = text[:1] if text[:1] in ("+", "-") else ""
    return args._replace(mode=mode, rights=expand_rights(text[len(mode) :]))


def expand_rights(letters: str) -> str:
    """The rights of RFC 4314 that these letters stand for, each once.

    Raises BadSyntax for unknown and upper-case ones (RFC 4314 3.1).
    """
    expanded = "".join(_MEMBERS.get(letter, letter) for letter in letters)
    for letter in expanded:
        if letter not in RIGHTS:
            raise BadSyntax(f"Unknown right {letter!a}; there are {RIGHTS}")
    return "".join(right for right in RIGHTS if right in expanded)


def format_rights(rights: str) -> str:
    """Rights with the obsolete ones that older clients know (RFC 4314 2.1.1); `""` where there are none."""
    old = "".join(name for name, members in _MEMBERS.items() if any(right in rights for right in members))
    return rights + old or '""'


def grantable_rights(always: str) -> str:
    """The end of a LISTRIGHTS response: what an identifier always has, then each right that it can be given."""
    others = [right for right in RIGHTS if right not in always]
    if others:
        others += list(_MEMBERS)
    return " ".join([format_rights(always), *others])


def parse_quota_root(lexer: Lexer) -> str:
    """A quota root's name; octets that are no UTF-8 name none."""
    return lexer.astring().decode("utf-8", "replace")


class SetQuotaArgs(NamedTuple):
    root: str
    limits: tuple[tuple[str, int], ...]


def parse_setquota(lexer: Lexer) -> SetQuotaArgs:
    root = parse_quota_root(lexer)
    lexer.space()
    lexer.expect(40)
    limits: list[tuple[str, int]] = []
    while not lexer.accept(41):
        if limits:
            lexer.space()
        name = lexer.word()
        lexer.space()
        limits.append((name, lexer.number(0x7FFF_FFFF_FFFF_FFFF)))
    return SetQuotaArgs(root, tuple(limits))
