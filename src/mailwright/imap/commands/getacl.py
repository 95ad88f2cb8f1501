"""GETACL (RFC 4314 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.commands.delete import parse
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.acl import format_rights
from mailwright.store.acl import read_acl

if TYPE_CHECKING:
    from mailwright.imap.session import Session


__all__ = ["parse", "run"]


async def run(session: Session, command: Command) -> Reply:
    access, grants = await session.service.store.read(read_acl, session.account_id, command.args)
    shown = [(who, format_rights(rights)) for who, rights in grants]
    session.write(responses.acl(access.name, shown, session.utf8))
    return Reply("GETACL completed")
