"""GETQUOTAROOT (RFC 9208 4.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.commands.delete import parse
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.store.quota import read_root_of

if TYPE_CHECKING:
    from mailwright.imap.session import Session


__all__ = ["parse", "run"]


async def run(session: Session, command: Command) -> Reply:
    name, quota = await session.service.store.read(read_root_of, session.account_id, command.args)
    session.write(
        responses.quota_root(name, quota.root, session.utf8) + responses.quota(quota.root, quota.resources)
    )
    return Reply("GETQUOTAROOT completed")
