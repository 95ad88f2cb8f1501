"""NAMESPACE (RFC 2342)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.mailbox import DELIMITER

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    session.write(f'* NAMESPACE (("" "{DELIMITER}")) NIL NIL\r\n'.encode("ascii"))
    return Reply("NAMESPACE completed")
