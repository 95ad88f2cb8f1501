"""SETQUOTA (RFC 9208 4.1.3), which is not for users: QUOTASET is not advertised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.acl import SetQuotaArgs, parse_setquota
from mailwright.imap.syntax.lexer import Lexer

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> SetQuotaArgs:
    lexer.space()
    return parse_setquota(lexer)


async def run(session: Session, command: Command) -> Reply:
    raise Refused("Only the administrator of the server sets quotas", "NOPERM")
