"""CREATE, with a special use (RFC 3501 6.3.3, RFC 6154 3, RFC 8474 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import DELIMITER, parse_mailbox, parse_uses, why_not_creatable
from mailwright.imap.syntax.objects import mailbox_id
from mailwright.store.acl import create_mailbox
from mailwright.store.errors import NotAllowed

if TYPE_CHECKING:
    from mailwright.imap.session import Session


class CreateArgs(NamedTuple):
    """`uses` are special uses without the backslash, lower-case."""

    mailbox: str
    uses: tuple[str, ...] = ()


def parse(lexer: Lexer) -> CreateArgs:
    lexer.space()
    mailbox = parse_mailbox(lexer)
    uses: tuple[str, ...] = ()
    if lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text):
        lexer.space()
        lexer.expect(40)
        if lexer.word() != "USE":
            raise BadSyntax("Unknown CREATE parameter")
        lexer.space()
        uses = parse_uses(lexer)
        lexer.expect(41)
    return CreateArgs(mailbox, uses)


async def run(session: Session, command: Command) -> Reply:
    args: CreateArgs = command.args
    # RFC 3501 6.3.3: a delimiter at the end only declares that names below will follow.
    name = args.mailbox.removesuffix(DELIMITER)
    refusal = why_not_creatable(name)
    if refusal:
        raise Refused(refusal, "CANNOT")
    if len(args.uses) > 1:
        raise Refused("A mailbox has at most one special use", "USEATTR")
    role = args.uses[0] if args.uses else None
    try:
        owner, mailbox = await session.service.store.write(create_mailbox, session.account_id, name, role)
    except NotAllowed as error:
        raise Refused(str(error), "USEATTR" if role else "LIMIT") from None
    session.note_own_names(name)
    if session.rev2 and owner == session.account_id and mailbox.name != name:
        # RFC 9051 6.3.4: the name was normalised
        session.write(responses.listing(mailbox.name, [], utf8=True, old_name=name))
    return Reply("CREATE completed", f"MAILBOXID ({mailbox_id(owner, mailbox.id)})")
