"""GENURLAUTH (RFC 4467 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Bad, Refused, Reply
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.url import BadUrl, ImapUrl, parse_url
from mailwright.imap.urlauth import MECHANISM, sign

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> list[bytes]:
    urls = []
    while not lexer.at_end():
        lexer.space()
        urls.append(lexer.astring())
        lexer.space()
        mechanism = lexer.word()
        if mechanism != MECHANISM:
            raise BadSyntax(f"The only mechanism is {MECHANISM}")
    if not urls:
        raise BadSyntax("Missing argument")
    return urls


async def run(session: Session, command: Command) -> Reply:
    signed = []
    for raw in command.args:
        url = _check(session, raw)
        token = await session.service.store.write(sign, session.account_id, url)
        signed.append(responses.string(raw + f":{MECHANISM.lower()}:{token}".encode("ascii")))
    session.write(b"* GENURLAUTH " + b" ".join(signed) + b"\r\n")
    return Reply("GENURLAUTH completed")


def _check(session: Session, raw: bytes) -> ImapUrl:
    try:
        url = parse_url(raw)
    except BadUrl as error:
        raise Bad(f"GENURLAUTH: {error}") from None
    if not url.access or url.mechanism or url.mailbox is None or not url.user:
        raise Bad("GENURLAUTH signs URLs that name a user, a message and end in ;URLAUTH=access")
    if not session.is_called(url.host):
        raise Refused("The URL names another server", "CANNOT")
    return url
