"""URLFETCH, of decoded parts and their structure too (RFC 4467 7, RFC 5524)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mailwright.imap import responses
from mailwright.imap.commands.fetch import send_encoded, send_remote
from mailwright.imap.connection import Command
from mailwright.imap.fetch.binary import decode_now, measure, of_part
from mailwright.imap.fetch.pieces import Piece, Remote
from mailwright.imap.fetch.read import read_blob
from mailwright.imap.fetch.source import Source
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.url import BadUrl, ImapUrl, parse_url
from mailwright.imap.urlauth import find_signed
from mailwright.message.content import UnknownEncoding
from mailwright.message.structure import bodystructure
from mailwright.store.blobs.api import CHUNK
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoRight, NotFound

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_ITEMS: Final = frozenset({"BODY", "BINARY", "BODYPARTSTRUCTURE"})


class Wanted(NamedTuple):
    """A URL and what is wanted of it: () is the plain form of RFC 4467."""

    url: bytes
    items: tuple[str, ...]


def parse(lexer: Lexer) -> list[Wanted]:
    wanted = []
    while not lexer.at_end():
        lexer.space()
        if not lexer.accept(40):
            wanted.append(Wanted(lexer.astring(), ()))
            continue
        url = lexer.astring()
        items = []
        while not lexer.accept(41):
            lexer.space()
            items.append(lexer.word())
            if items[-1] not in _ITEMS:
                raise BadSyntax(f"Unknown URLFETCH item {items[-1]}")
        wanted.append(Wanted(url, tuple(dict.fromkeys(items)) or ("BODY",)))
    if not wanted:
        raise BadSyntax("Missing argument")
    return wanted


async def run(session: Session, command: Command) -> Reply:
    for wanted in command.args:
        session.write(b"* URLFETCH " + responses.string(wanted.url))
        for piece in await _find(session, wanted):
            if isinstance(piece, bytes):
                session.write(piece)
            elif isinstance(piece, Remote):
                await send_remote(session, piece)
            else:
                await send_encoded(session, piece)
        session.write(b"\r\n")
        await session.drain()
    return Reply("URLFETCH completed")


async def _find(session: Session, wanted: Wanted) -> list[Piece]:
    """What follows the URL: NIL for all that cannot be had, whyever (RFC 4467 9)."""
    try:
        url = parse_url(wanted.url)
        if not session.is_called(url.host):
            return [b" NIL"]
        now = session.service.now()
        return await session.service.store.read(_read, session.account_id, url, wanted.items, now)
    except (BadUrl, NotFound, NoRight):
        return [b" NIL"]


def _read(tx: Transaction, account: int, url: ImapUrl, items: tuple[str, ...], now: int) -> list[Piece]:
    source = find_signed(tx, account, url, now)
    if not items:
        return [b" ", *_literal(tx, source)]
    pieces: list[Piece] = []
    for item in items:
        if item == "BODY":
            pieces += [b" (BODY ", *_literal(tx, source), b")"]
        elif source.part is None:
            pieces.append(b" (%b NIL)" % item.encode("ascii"))
        elif item == "BINARY":
            pieces += [b" (BINARY ", *_binary(tx, source, url), b")"]
        else:
            pieces.append(b" (BODYPARTSTRUCTURE %b)" % bodystructure(source.part))
    return pieces


def _literal(tx: Transaction, source: Source) -> list[Piece]:
    head = b"{%d}\r\n" % source.size
    if source.data is not None:
        return [head + source.data]
    if source.size <= CHUNK:
        return [head + read_blob(tx, source.blob, source.start, source.stop)]
    return [head, Remote(source.blob, source.start, source.stop)]


def _binary(tx: Transaction, source: Source, url: ImapUrl) -> list[Piece]:
    assert source.part is not None
    encoded = of_part(source.blob, source.part)
    if not url.section.part:
        return _literal(tx, source)  # the whole message has no encoding
    try:
        if encoded.stop - encoded.start <= CHUNK:
            data = decode_now(tx, encoded, url.section.partial)
            return [b"~{%d}\r\n" % len(data) + data]
        encoded = measure(tx, encoded, url.section.partial)
    except UnknownEncoding:
        return [b"NIL"]
    return [b"~{%d}\r\n" % encoded.length, encoded]
