"""Reads the tokens of one complete command (RFC 3501 9). Literals stand in the text as on the wire."""

from __future__ import annotations

import re
from typing import Final

_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST_MAILBOX: Final = re.compile(rb'[^\x00-\x20\x7f(){"\\]+')  # octets above 127: names sent as raw UTF-8
_QUOTED: Final = re.compile(rb'"([^"\\\r\n\x00]*(?:\\["\\][^"\\\r\n\x00]*)*)"')
_ESCAPE: Final = re.compile(rb'\\(["\\])')
_LITERAL: Final = re.compile(rb"(~?)\{([0-9]{1,10})\+?\}\r\n")
_NUMBER: Final = re.compile(rb"[0-9]{1,20}")
_MAILBOX_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f(){%*"\\]+')

MAX_NUMBER: Final = 0xFFFF_FFFF
MAX_NUMBER64: Final = 0x7FFF_FFFF_FFFF_FFFF


class BadSyntax(Exception):
    """A command that the grammar does not allow.

    `condition` is the tagged response it asks for (BAD, or NO when the words are right but the value cannot
    be served), `code` its response code without brackets ('' for none).
    """

    def __init__(self, text: str, condition: str = "BAD", code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.condition = condition
        self.code = code


class Lexer:
    """A position in the text of one command. Every method raises BadSyntax when its token is not there."""

    __slots__ = ("pos", "text", "utf8")

    def __init__(self, text: bytes, pos: int = 0, utf8: bool = False) -> None:
        self.text = text
        self.pos = pos
        self.utf8 = utf8  # mailbox names come in UTF-8 (RFC 6855 3, RFC 9051 5.1)

    def at_end(self) -> bool:
        return self.pos >= len(self.text)

    def peek(self) -> int:
        """The next octet, or -1 at the end."""
        return self.text[self.pos] if self.pos < len(self.text) else -1

    def accept(self, octet: int) -> bool:
        """Step over this octet if it is next."""
        if self.pos < len(self.text) and self.text[self.pos] == octet:
            self.pos += 1
            return True
        return False

    def expect(self, octet: int) -> None:
        if not self.accept(octet):
            raise BadSyntax(f"expected {chr(octet)!r} {self.where()}")

    def space(self) -> None:
        if not self.accept(32):
            raise BadSyntax("Missing argument" if self.at_end() else f"expected a space {self.where()}")

    def spaces(self) -> bool:
        """Step over spaces; whether there were any."""
        start = self.pos
        while self.accept(32):
            pass
        return self.pos > start

    def end(self) -> None:
        """Nothing may follow. Trailing spaces are forgiven: several clients send one."""
        self.spaces()
        if self.pos < len(self.text):
            raise BadSyntax(f"unexpected text {self.where()}")

    def where(self) -> str:
        if self.pos >= len(self.text):
            return "at the end"
        shown = self.text[self.pos : self.pos + 20].decode("ascii", "replace").split("\r")[0]
        return "before " + "".join(char if char.isprintable() else "?" for char in shown).replace(
            "\ufffd", "?"
        )

    def atom(self) -> bytes:
        found = _ATOM.match(self.text, self.pos)
        if found is None:
            raise BadSyntax(f"expected a word {self.where()}")
        self.pos = found.end()
        return found.group()

    def word(self) -> str:
        """An atom that is a keyword of the grammar, in upper case."""
        return self.atom().decode("ascii").upper()

    def astring(self) -> bytes:
        """An atom (']' allowed), a quoted string or a literal."""
        found = _ASTRING.match(self.text, self.pos)
        if found is not None:
            self.pos = found.end()
            return found.group()
        return self.string()

    def string(self) -> bytes:
        """A quoted string or a literal (a literal8 where the peer sends one, RFC 3516 4.4)."""
        quoted = _QUOTED.match(self.text, self.pos)
        if quoted is not None:
            self.pos = quoted.end()
            value = quoted.group(1)
            if self.utf8:
                _check_utf8(value)
            return _ESCAPE.sub(rb"\1", value) if b"\\" in value else value
        literal = _LITERAL.match(self.text, self.pos)
        if literal is None:
            raise BadSyntax(f"expected a string {self.where()}")
        start = literal.end()
        end = start + int(literal.group(2))
        value = self.text[start:end]
        if end > len(self.text):
            raise BadSyntax("a literal is cut short")
        if b"\x00" in value and not literal.group(1):
            raise BadSyntax("NUL in a literal")
        self.pos = end
        return value

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        if self.peek() in (34, 123, 126):  # '"', '{', '~'
            return self.string()
        if self.word() != "NIL":
            raise BadSyntax(f"expected a string or NIL {self.where()}")
        return None

    def list_mailbox(self) -> bytes:
        """A mailbox name with wildcards, or a string (`list-mailbox`)."""
        found = _LIST_MAILBOX.match(self.text, self.pos)
        if found is not None:
            self.pos = found.end()
            return found.group()
        return self.string()

    def mailbox_atom(self) -> bytes:
        """A mailbox name; octets above 127 are let through to be judged as a name."""
        found = _MAILBOX_ATOM.match(self.text, self.pos)
        if found is not None:
            self.pos = found.end()
            return found.group()
        return self.string()

    def number(self, largest: int = MAX_NUMBER) -> int:
        found = _NUMBER.match(self.text, self.pos)
        if found is None:
            raise BadSyntax(f"expected a number {self.where()}")
        value = int(found.group())
        if value > largest:
            raise BadSyntax(f"the number {value} is too large")
        self.pos = found.end()
        return value

    def match(self, pattern: re.Pattern[bytes]) -> bytes | None:
        """Step over what this pattern matches here."""
        found = pattern.match(self.text, self.pos)
        if found is None:
            return None
        self.pos = found.end()
        return found.group()


def _check_utf8(quoted: bytes) -> None:
    """RFC 6855 3: once UTF-8 is agreed upon, a quoted string holds nothing else."""
    try:
        quoted.decode("utf-8")
    except UnicodeDecodeError:
        raise BadSyntax("a quoted string is in UTF-8") from None
