"""RETR and TOP (RFC 1939 5, 7): large messages go from the store to the client piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.message.downgrade import downgrade_header
from mailwright.pop3 import responses
from mailwright.pop3.maildrop import AHEAD, PIECE, read_ahead, read_piece
from mailwright.pop3.syntax import Command
from mailwright.store.errors import NotFound, StoreError

if TYPE_CHECKING:
    from mailwright.pop3.session import Pop3Session


async def retr(session: Pop3Session, command: Command) -> bytes:
    refusal = session.refusal(command.number)
    return refusal or await _send(session, command.number, None)


async def top(session: Pop3Session, command: Command) -> bytes:
    refusal = session.refusal(command.number)
    return refusal or await _send(session, command.number, responses.Top(command.lines))


async def _send(session: Pop3Session, number: int, top: responses.Top | None) -> bytes:
    size = session.maildrop.size(number)
    try:
        piece = await _read_first(session, number)
    except NotFound:
        return responses.GONE
    except StoreError:
        return responses.UNREADABLE
    stuffer = responses.Stuffer()
    shown = piece if session.utf8 else _in_ascii(piece, whole=size <= PIECE)
    if shown is None:
        return responses.NEEDS_UTF8
    begin = responses.message_begins(size - len(piece) + len(shown)) if top is None else responses.ok("")
    piece = shown
    first = begin + stuffer.feed(top.feed(piece) if top is not None else piece)
    if size <= PIECE:
        return first + stuffer.end()
    session.write(first)
    for start in range(PIECE, size, PIECE):
        if top is not None and top.done:
            break
        await session.flush()
        piece = await _read_on(session, number, start)
        session.write(stuffer.feed(top.feed(piece) if top is not None else piece))
    await session.flush()
    return stuffer.end()


def _in_ascii(piece: bytes, *, whole: bool) -> bytes | None:
    """The first piece of a message with a header for clients that know no UTF-8; None when that is too long to be here.

    RFC 6856 2.1. Headers within the body stay as they are.
    """
    if piece.isascii():
        return piece
    start = 0 if piece.startswith((b"\r\n", b"\n")) else responses.body_start(piece)
    if start < 0:
        start = len(piece)
        if not whole:
            return None
    return downgrade_header(piece[:start]) + piece[start:]


async def _read_first(session: Pop3Session, number: int) -> bytes:
    """The first piece. Who asks for one message after another has the small ones read ahead."""
    maildrop = session.maildrop
    uid = maildrop.uid(number)
    in_order, maildrop.latest = number == maildrop.latest + 1, number
    if uid not in maildrop.ahead:
        maildrop.ahead = {}
        if not in_order or maildrop.size(number) > AHEAD:
            return await _read(session, number, 0)
        maildrop.ahead = await session.services.store.read(
            read_ahead, maildrop.account, maildrop.mailbox, uid, maildrop.together(number)
        )
        if uid not in maildrop.ahead:
            raise NotFound("the message is gone")
    return maildrop.ahead.pop(uid)


async def _read(session: Pop3Session, number: int, start: int) -> bytes:
    maildrop = session.maildrop
    return await session.services.store.read_briefly(
        read_piece, maildrop.account, maildrop.mailbox, maildrop.uid(number), start
    )


async def _read_on(session: Pop3Session, number: int, start: int) -> bytes:
    """In the midst of a message only hanging up tells the client that the rest will not come."""
    try:
        return await _read(session, number, start)
    except StoreError as error:
        raise ConnectionAbortedError(f"a message could not be read to its end: {error}") from error
