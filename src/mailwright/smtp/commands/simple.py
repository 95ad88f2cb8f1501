"""The commands that do little: RSET, NOOP, QUIT, VRFY, EXPN, HELP (RFC 5321 4.1.1.5 to 4.1.1.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.smtp import replies
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Expn, Help, Noop, Quit, Rset, Vrfy

if TYPE_CHECKING:
    from mailwright.smtp.session import Session


def run_rset(session: Session, command: Rset) -> Reply:
    session.end_transaction()
    return replies.RESET


def run_noop(session: Session, command: Noop) -> Reply:
    return replies.OK


def run_quit(session: Session, command: Quit) -> Reply:
    session.closing = True
    return replies.BYE


def run_vrfy(session: Session, command: Vrfy) -> Reply:
    return replies.CANNOT_VERIFY  # RFC 5321 7.3: a site may choose not to tell


def run_expn(session: Session, command: Expn) -> Reply:
    return replies.NO_EXPN


def run_help(session: Session, command: Help) -> Reply:
    return replies.help_text(command.topic)
