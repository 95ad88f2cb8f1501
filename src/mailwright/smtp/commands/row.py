"""A row of the command table: which command is good in which state, and what is said otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mailwright.smtp.api import Answer
from mailwright.smtp.replies import Reply

if TYPE_CHECKING:
    from mailwright.smtp.session import Session

# What holds in a session; a set of these is its state.
HELLO: Final = 1  # EHLO, HELO or LHLO was said
TLS: Final = 2
TLS_OFFERED: Final = 4
LOGIN_OFFERED: Final = 8  # this port has AUTH
CONFIDENTIAL: Final = 16  # a password may be sent: TLS, or the policy allows it without
AUTHENTICATED: Final = 32
ENCRYPTED_ENOUGH: Final = 64  # mail may be sent as far as encryption goes
ADMITTED: Final = 128  # mail may be sent as far as login goes
MAIL: Final = 256  # a message is begun
CHUNKS: Final = 512  # and partly here

Run = Callable[["Session", Any], Answer]
Condition = tuple[int, Reply]


class Row(NamedTuple):
    """`run` writes its own replies when its answer is None."""

    run: Run
    needs: tuple[Condition, ...]
    forbids: tuple[Condition, ...]
    mask: int  # all the bits that count,
    want: int  # and how they must be

    def fault(self, state: int) -> Reply:
        """Why the command cannot be run in `state`, where `state & mask != want`."""
        for bit, reply in self.needs:
            if not state & bit:
                return reply
        return next(reply for bit, reply in self.forbids if state & bit)


def row(run: Run, needs: tuple[Condition, ...] = (), forbids: tuple[Condition, ...] = ()) -> Row:
    """The first condition that does not hold gives the reply."""
    want = sum(bit for bit, _ in needs)
    return Row(run, needs, forbids, want | sum(bit for bit, _ in forbids), want)
