"""What the table says of a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from mailwright.imap.connection import Command, Parser
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer

if TYPE_CHECKING:
    from mailwright.imap.session import Session

Run = Callable[["Session", Command], Awaitable[Reply | None]]


# The states of a connection (RFC 3501 3), as bits.
FRESH: Final = 1
AUTHENTICATED: Final = 2
SELECTED: Final = 4
ANY: Final = FRESH | AUTHENTICATED | SELECTED
LOGGED_IN: Final = AUTHENTICATED | SELECTED


class Row(NamedTuple):
    """A command and the rules that hold for it.

    `uses_numbers`: its arguments or responses hold sequence numbers, so that no EXPUNGE may be sent while it runs
    (RFC 3501 7.4.1), nor before it when it is pipelined behind another command (5.5).
    `reads_changes`: it asks for news, so the change log is read even when no notification came.
    `expunges`: EXPUNGE responses are its own result, and come before its reply whatever follows it (RFC 3501 6.4.3).
    `tells_first`: what it says of the selected mailbox is to fit what the client knows, so the news come before it too.
    `always_tells`: its own result is told as news, so even to a client whose NOTIFY wants none.
    """

    run: Run
    parse: Parser
    states: int
    uses_numbers: bool = False
    reads_changes: bool = False
    always_tells: bool = False
    expunges: bool = False
    tells_first: bool = False


def parse_nothing(lexer: Lexer) -> None:
    """A command without arguments."""
