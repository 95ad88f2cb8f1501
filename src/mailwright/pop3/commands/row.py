"""What the table says of a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from mailwright.pop3.session import Pop3Session

# Takes the session and the parsed command; the last octets of the reply, or all.
Run = Callable[["Pop3Session", Any], Awaitable[bytes]]


class State(IntFlag):
    """The states of a session (RFC 1939 3); UPDATE takes no commands."""

    AUTHORIZATION = 1
    TRANSACTION = 2


ANY: Final = State.AUTHORIZATION | State.TRANSACTION


class Row(NamedTuple):
    """A command and the states in which it is valid."""

    run: Run
    states: State
