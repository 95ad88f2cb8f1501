"""Messages on their way in, for APPEND and REPLACE: as one literal, or in parts (RFC 4469)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap.connection import (
    CommandEnd,
    LiteralChunk,
    LiteralEnd,
    Message,
    MessageEnd,
    SyntaxFault,
    TextPart,
    UrlPart,
)
from mailwright.imap.fetch.read import read_blob
from mailwright.imap.fetch.source import Source, find_source
from mailwright.imap.progress import check_limit
from mailwright.imap.reply import Bad, Refused
from mailwright.imap.syntax.store import AppendMessage
from mailwright.imap.syntax.url import BadUrl, ImapUrl, parse_url
from mailwright.imap.urlauth import find_user
from mailwright.store.acl import name_of
from mailwright.store.arrivals import PreparedMessage
from mailwright.store.blobs.api import CHUNK
from mailwright.store.errors import NoRight, NotFound
from mailwright.store.incoming import IncomingMessage

if TYPE_CHECKING:
    from mailwright.imap.connection import Event
    from mailwright.imap.session import Session

MAX_MESSAGES = 1000  # in one APPEND
MAX_PARTS = 1000  # of one message
MAX_HELD = 4 * 1024 * 1024  # octets of one command's messages that are held in memory until it is complete


class Prepared(NamedTuple):
    """A message that came, with what the client said of it."""

    message: PreparedMessage
    options: AppendMessage


async def receive_messages(
    session: Session, first: AppendMessage, most: int = MAX_MESSAGES
) -> list[Prepared]:
    """All messages of the command. Raises Refused, ConnectionError, TemporaryFailure."""
    ready: list[Prepared] = []
    held = 0
    announced = first
    while True:
        if len(ready) == most:
            raise Refused(f"At most {most} messages in one command", "LIMIT")
        check_limit(session, len(ready) + 1)
        one = await _receive(session, announced, apart=held > MAX_HELD)
        held += len(one.message.blob.data or b"")
        ready.append(one)
        event = await session.next_event()
        if isinstance(event, CommandEnd):
            return ready
        if not isinstance(event, Message):
            raise _failure(event)
        announced = event.message


async def _receive(session: Session, options: AppendMessage, *, apart: bool) -> Prepared:
    incoming = session.service.store.incoming()
    try:
        if options.catenate:
            await _receive_parts(session, incoming)
        elif options.size:
            await _receive_literal(session, incoming)
        if incoming.size == 0:  # RFC 3502 4: and it cancels the command
            raise Refused("A message without content cannot be kept")
        return Prepared(await incoming.finish(apart=apart), options)
    finally:
        incoming.close()


async def _receive_literal(session: Session, incoming: IncomingMessage) -> None:
    session.connection.accept_message()
    while isinstance(event := await session.next_event(), LiteralChunk):
        await incoming.write(event.data)
    if not isinstance(event, LiteralEnd):
        raise _failure(event)


async def _receive_parts(session: Session, incoming: IncomingMessage) -> None:
    limit = session.service.limits.message_size
    parts = 0
    while not isinstance(event := await session.next_event(), MessageEnd):
        parts += 1
        if parts > MAX_PARTS:
            raise Refused(f"A message has at most {MAX_PARTS} parts", "LIMIT")
        if isinstance(event, UrlPart):
            await _copy(session, incoming, event.url)
        elif isinstance(event, TextPart):
            _check_size(incoming.size + event.size, limit)
            await _receive_literal(session, incoming)
        else:
            raise _failure(event)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise Refused(f"A message has at most {limit} octets", "TOOBIG")


async def _copy(session: Session, incoming: IncomingMessage, raw: bytes) -> None:
    """Add what a URL names, a chunk at a time. Raises Refused."""
    try:
        url = parse_url(raw)
        mailbox, uidvalidity = await _named_mailbox(session, url)
        await _check_user(session, url)
        source = await session.service.store.read(
            find_source, session.account_id, mailbox, uidvalidity, url.uid, url.section
        )
        _check_size(incoming.size + source.size, session.service.limits.message_size)
        await _copy_source(session, incoming, source)
    except (BadUrl, NotFound, NoRight) as error:
        raise Refused(f"CATENATE cannot read the URL: {error}", f'BADURL "{_shown(raw)}"') from None


async def _check_user(session: Session, url: ImapUrl) -> None:
    """What another user calls so is no mailbox of ours. Raises BadUrl."""
    if "@" in url.user and await session.service.store.read(find_user, url.user) != session.account_id:
        raise BadUrl("it belongs to another user")


async def _copy_source(session: Session, incoming: IncomingMessage, source: Source) -> None:
    if source.data is not None:
        await incoming.write(source.data)
    for start in range(source.start, source.stop, CHUNK):
        stop = min(start + CHUNK, source.stop)
        data = await session.service.store.read(read_blob, source.blob, start, stop)
        if len(data) != stop - start:
            raise BadUrl("the message was removed while it was read")
        await incoming.write(data)


def _shown(url: bytes) -> str:
    """A URL in a response code, where no bracket may close it too early."""
    text = url[:1000].decode("ascii", "replace")
    return "".join(char if " " <= char <= "~" and char not in ']"\\' else "?" for char in text)


async def _named_mailbox(session: Session, url: ImapUrl) -> tuple[str, int]:
    """The mailbox of a URL and its UIDVALIDITY; a relative URL may mean the selected one (RFC 4469 3)."""
    if url.host and not session.is_called(url.host):
        raise BadUrl("it names another server")
    if url.mailbox is not None:
        return url.mailbox, url.uidvalidity
    if session.selected is None:
        raise BadUrl("it names no mailbox, and none is selected")
    name = await session.service.store.read(name_of, session.account_id, *session.selected.key)
    return name, url.uidvalidity or session.selected.uidvalidity


def _failure(event: Event) -> Exception:
    if isinstance(event, SyntaxFault):
        return Refused(event.text, event.code) if event.condition == "NO" else Bad(event.text, event.code)
    return ConnectionResetError("the client left in the middle of a message")
