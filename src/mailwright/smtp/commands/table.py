"""Which command runs what, and when (RFC 5321 4.1.4)."""

from __future__ import annotations

from typing import Final

from mailwright.smtp import replies
from mailwright.smtp.commands import auth, content, hello, mail, rcpt, simple, starttls
from mailwright.smtp.commands.row import (
    ADMITTED,
    AUTHENTICATED,
    CHUNKS,
    CONFIDENTIAL,
    ENCRYPTED_ENOUGH,
    HELLO,
    LOGIN_OFFERED,
    MAIL,
    TLS,
    TLS_OFFERED,
    Row,
    row,
)
from mailwright.smtp.syntax import commands as syntax

TABLE: Final[dict[type, Row]] = {
    syntax.Hello: row(hello.run),
    syntax.Mail: row(
        mail.run,
        needs=(
            (HELLO, replies.SAY_HELLO),
            (ENCRYPTED_ENOUGH, replies.NEEDS_TLS),
            (ADMITTED, replies.NEEDS_AUTH),
        ),
        forbids=((CHUNKS, replies.IN_CHUNKS), (MAIL, replies.NESTED_MAIL)),
    ),
    syntax.Rcpt: row(rcpt.run, needs=((MAIL, replies.NEED_MAIL),), forbids=((CHUNKS, replies.IN_CHUNKS),)),
    syntax.Data: row(
        content.run_data, needs=((MAIL, replies.NEED_MAIL),), forbids=((CHUNKS, replies.IN_CHUNKS),)
    ),
    syntax.Bdat: row(content.run_bdat, needs=((MAIL, replies.NEED_MAIL),)),
    syntax.Rset: row(simple.run_rset),
    syntax.Noop: row(simple.run_noop),
    syntax.Quit: row(simple.run_quit),
    syntax.Vrfy: row(simple.run_vrfy),
    syntax.Expn: row(simple.run_expn),
    syntax.Help: row(simple.run_help),
    syntax.StartTls: row(
        starttls.run,
        needs=((TLS_OFFERED, replies.NO_TLS_HERE),),
        forbids=((TLS, replies.ALREADY_TLS),),
    ),
    syntax.Auth: row(
        auth.run,
        needs=(
            (LOGIN_OFFERED, replies.NO_AUTH_HERE),
            (HELLO, replies.SAY_HELLO),
            (CONFIDENTIAL, replies.AUTH_NEEDS_TLS),
        ),
        forbids=((AUTHENTICATED, replies.ALREADY_AUTHENTICATED), (MAIL, replies.AUTH_IN_MAIL)),
    ),
}
