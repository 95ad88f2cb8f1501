"""RESETKEY (RFC 4467 7): what was signed with the old keys is void."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox
from mailwright.imap.urlauth import MECHANISM
from mailwright.store import acl
from mailwright.store.db.api import Transaction
from mailwright.store.url_keys import forget_key, forget_keys

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> tuple[str, list[str]]:
    """The mailbox ('' for all) and mechanisms."""
    if lexer.at_end():
        return "", []
    lexer.space()
    mailbox = parse_mailbox(lexer)
    mechanisms = []
    while not lexer.at_end():
        lexer.space()
        mechanisms.append(lexer.word())
    return mailbox, mechanisms


async def run(session: Session, command: Command) -> Reply:
    mailbox, mechanisms = command.args
    store = session.service.store
    if not mailbox:
        await store.write(forget_keys, session.account_id)
        return Reply("All keys are new")
    if mechanisms and MECHANISM not in mechanisms:
        raise Refused(f"The only mechanism is {MECHANISM}", "CANNOT")
    await store.write(_reset, session.account_id, mailbox)
    return Reply("The key is new", f"URLMECH {MECHANISM}")


def _reset(tx: Transaction, account: int, name: str) -> None:
    forget_key(tx, account, acl.resolve(tx, account, name))
