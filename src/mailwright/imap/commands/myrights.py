"""MYRIGHTS (RFC 4314 3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.commands.delete import parse
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.acl import format_rights
from mailwright.store.acl import read_visible

if TYPE_CHECKING:
    from mailwright.imap.session import Session


__all__ = ["parse", "run"]


async def run(session: Session, command: Command) -> Reply:
    access = await session.service.store.read(read_visible, session.account_id, command.args)
    session.write(responses.my_rights(access.name, format_rights(access.rights), session.utf8))
    return Reply("MYRIGHTS completed")
