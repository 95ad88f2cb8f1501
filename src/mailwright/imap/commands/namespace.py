"""NAMESPACE (RFC 2342)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.mailbox import DELIMITER
from mailwright.store.acl import OTHER_USERS, PUBLIC

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_PREFIXES = ("", OTHER_USERS + DELIMITER, PUBLIC + DELIMITER)  # one's own, others', public


async def run(session: Session, command: Command) -> Reply:
    spaces = " ".join(f'(("{prefix}" "{DELIMITER}"))' for prefix in _PREFIXES)
    session.write(f"* NAMESPACE {spaces}\r\n".encode("ascii"))
    return Reply("NAMESPACE completed")
