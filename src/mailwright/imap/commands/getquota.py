"""GETQUOTA (RFC 9208 4.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.acl import parse_quota_root
from mailwright.imap.syntax.lexer import Lexer
from mailwright.store.quota import find_quota

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> str:
    lexer.space()
    return parse_quota_root(lexer)


async def run(session: Session, command: Command) -> Reply:
    quota = await session.service.store.read(find_quota, session.account_id, command.args)
    session.write(responses.quota(quota.root, quota.resources))
    return Reply("GETQUOTA completed")
