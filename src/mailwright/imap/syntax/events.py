"""What the wire machine makes of a client's octets (see `imap.connection`)."""

from __future__ import annotations

from typing import Any, NamedTuple

from mailwright.imap.syntax.store import AppendMessage


class Command:
    """A complete command; of APPEND and REPLACE the part before the first message."""

    __slots__ = ("args", "name", "tag", "uid")

    def __init__(self, tag: str, name: str, uid: bool, args: Any) -> None:
        self.tag = tag
        self.name = name
        self.uid = uid
        self.args = args

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and self._values() == other._values()

    def __repr__(self) -> str:
        return f"Command{self._values()!r}"

    def _values(self) -> tuple[str, str, bool, Any]:
        return self.tag, self.name, self.uid, self.args


class Line(NamedTuple):
    """The line asked for by `expect_line`, without its end."""

    text: bytes


class Message(NamedTuple):
    """A message of APPEND is announced: the session calls `accept_message` or `abandon_append`.

    When it comes in parts (CATENATE), UrlPart and TextPart follow, then MessageEnd.
    """

    tag: str
    message: AppendMessage


class UrlPart(NamedTuple):
    url: bytes


class TextPart(NamedTuple):
    """A part of a message is announced: the session calls `accept_message` or `abandon_append`."""

    size: int


class MessageEnd(NamedTuple):
    """The message that came in parts is complete."""


class LiteralChunk(NamedTuple):
    data: bytes


class LiteralEnd(NamedTuple):
    """The message is complete."""


class CommandEnd(NamedTuple):
    """The APPEND is complete: no message follows."""

    tag: str


class SyntaxFault(NamedTuple):
    """A command that cannot be served. `tag` is '*' when it had none; `condition` is BAD or NO."""

    tag: str
    condition: str
    code: str
    text: str


class Closed(NamedTuple):
    """The peer has ended its input; what was incomplete is dropped."""


Event = (
    Command
    | Line
    | Message
    | UrlPart
    | TextPart
    | MessageEnd
    | LiteralChunk
    | LiteralEnd
    | CommandEnd
    | SyntaxFault
    | Closed
)
