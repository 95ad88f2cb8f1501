"""A command's text taken apart: tag, name, arguments; and the literal that a line announces at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mailwright.imap.syntax.append import Announced, End, Item, Text, Url
from mailwright.imap.syntax.events import (
    Command,
    CommandEnd,
    Event,
    Message,
    MessageEnd,
    SyntaxFault,
    TextPart,
    UrlPart,
)
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.store import AppendMessage

Parser = Callable[[Lexer], Any]

_HEAD: Final = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,255}) ([A-Za-z][A-Za-z0-9.-]{0,63})(?= |$)')
_TAG: Final = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,255})(?: |$)')
_SUBCOMMAND: Final = re.compile(rb" ([A-Za-z][A-Za-z0-9.-]{0,63})(?= |$)")
_ANNOUNCED: Final = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\Z")

# Clients say these again and again, word for word: what was parsed of them is remembered, for all clients. But not what
# holds a number, which is another one the next time.
_REPEATED: Final = frozenset(
    {"NOOP", "CHECK", "IDLE", "SELECT", "EXAMINE", "STATUS", "LIST", "LSUB", "EXPUNGE"}
)
_VARIES: Final = re.compile(rb"[0-9\x80-\xff]")
_LONGEST: Final = 200  # octets behind the tag
_LONGEST_TAG: Final = 255
_IN_TAG: Final = bytes([octet for octet in range(33, 127) if octet not in b'(){%*"\\+'])
_REMEMBERED: Final = 300
_Said = dict[bytes, tuple[str, Any]]
_said: Final[_Said] = {}
_said_in_utf8: Final[_Said] = {}  # where names of mailboxes are read otherwise (RFC 6855 3)


class Head:
    """Tag and name in capitals, `UID` with what follows it; the arguments begin at `end`."""

    __slots__ = ("end", "name", "tag")

    def __init__(self, tag: str, name: str, end: int) -> None:
        self.tag = tag
        self.name = name
        self.end = end


def recall(text: bytes, utf8: bool) -> Command | None:
    """The command, when it was said before with any tag; None: it is to be read."""
    space = text.find(b" ")
    if not 0 < space <= _LONGEST_TAG or len(text) - space > _LONGEST:
        return None
    said = (_said_in_utf8 if utf8 else _said).get(text[space:])
    if said is None or text[:space].translate(None, _IN_TAG):
        return None
    return Command(text[:space].decode("ascii"), said[0], False, said[1])


def _remember(text: bytes, head: Head, args: Any, utf8: bool) -> None:
    rest = text[text.find(b" ") :]
    if head.name not in _REPEATED or len(rest) > _LONGEST or _VARIES.search(rest) is not None:
        return
    said = _said_in_utf8 if utf8 else _said
    if len(said) >= _REMEMBERED:
        said.clear()
    said[rest] = head.name, args


def read_head(text: bytes) -> Head | None:
    """The head of a command; None when it is none."""
    found = _HEAD.match(text)
    if found is None:
        return None
    first: bytes = found.group(1)
    second: bytes = found.group(2)
    tag, name, end = first.decode("ascii"), second.decode("ascii").upper(), found.end()
    if name == "UID":
        sub = _SUBCOMMAND.match(text, end)
        name += " " + (sub.group(1).decode("ascii").upper() if sub is not None else "")
        end = end if sub is None else sub.end()
    return Head(tag, name, end)


def parse_command(
    text: bytes, head: Head, parsers: Mapping[str, Parser], utf8: bool
) -> Command | SyntaxFault:
    """The arguments of a complete command."""
    parser = parsers.get(head.name)
    if parser is None:
        return SyntaxFault(head.tag, "BAD", "", f"Unknown command {head.name}")
    lexer = Lexer(text, head.end, utf8)
    try:
        args = parser(lexer)
        lexer.end()
    except BadSyntax as error:
        return fault_of(head, error)
    _remember(text, head, args, utf8)
    uid = head.name.startswith("UID ")
    return Command(head.tag, head.name[4:] if uid else head.name, uid, args)


def fault_of(head: Head, error: BadSyntax) -> SyntaxFault:
    return SyntaxFault(head.tag, error.condition, error.code, f"{head.name}: {error.text}")


def no_command(text: bytes) -> SyntaxFault:
    """What is said of a line without a head."""
    return SyntaxFault(
        tag_of(text), "BAD", "", "A command is a tag, a space and a name" if text else "Empty line"
    )


def name_of(text: bytes) -> str:
    """The name of the command that a text begins with, `UID` alone; '?' for what is none."""
    found = _HEAD.match(text)
    return found.group(2).decode("ascii").upper() if found is not None else "?"


def tag_of(text: bytes) -> str:
    """The tag, or '*'."""
    found = _TAG.match(text)
    return found.group(1).decode("ascii") if found is not None else "*"


def announced_by(line: bytes) -> Announced | None:
    """The literal that a line announces at its end."""
    found = _ANNOUNCED.search(line) if line.endswith(b"}") else None
    if found is None:
        return None
    return Announced(int(found.group(2)), bool(found.group(1)), not found.group(3))


def events_of(tag: str, items: list[Item]) -> list[Event]:
    """What the text of an APPEND or REPLACE holds, as events."""
    events: list[Event] = []
    for item in items:
        if isinstance(item, AppendMessage):
            events.append(Message(tag, item))
        elif isinstance(item, Url):
            events.append(UrlPart(item.url))
        elif isinstance(item, Text):
            events.append(TextPart(item.size))
        elif isinstance(item, End):
            events += [MessageEnd()] if item.whole else []
            events += [CommandEnd(tag)] if item.last else []
    return events
