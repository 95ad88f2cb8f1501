"""A command's text taken apart: tag, name, arguments; and the literal that a line announces at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

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


class Head(NamedTuple):
    """Tag and name in capitals, `UID` with what follows it; the arguments begin at `end`."""

    tag: str
    name: str
    end: int


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
