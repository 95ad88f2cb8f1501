"""LISTRIGHTS (RFC 4314 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.commands.deleteacl import parse
from mailwright.imap.connection import Command
from mailwright.imap.reply import Bad, Reply
from mailwright.imap.syntax.acl import AclArgs, grantable_rights
from mailwright.store.acl import InvalidIdentifier, read_grantable

if TYPE_CHECKING:
    from mailwright.imap.session import Session


__all__ = ["parse", "run"]


async def run(session: Session, command: Command) -> Reply:
    args: AclArgs = command.args
    try:
        access, always = await session.service.store.read(
            read_grantable, session.account_id, args.mailbox, args.identifier
        )
    except InvalidIdentifier as error:
        raise Bad(f"LISTRIGHTS: {error}") from None
    session.write(responses.list_rights(access.name, args.shown, grantable_rights(always), session.utf8))
    return Reply("LISTRIGHTS completed")
