"""All commands, and when each is valid."""

from __future__ import annotations

from typing import Final

from mailwright.pop3.commands import capability, closing, deletion, listing, login, retrieval
from mailwright.pop3.commands.row import ANY, Row, State

_AUTHORIZATION: Final = State.AUTHORIZATION
_TRANSACTION: Final = State.TRANSACTION

TABLE: Final[dict[str, Row]] = {
    "AUTH": Row(login.auth, _AUTHORIZATION),
    "CAPA": Row(capability.capa, ANY),
    "DELE": Row(deletion.dele, _TRANSACTION),
    "LANG": Row(capability.lang, ANY),
    "LIST": Row(listing.list_, _TRANSACTION),
    "NOOP": Row(closing.noop, _TRANSACTION),
    "PASS": Row(login.pass_, _AUTHORIZATION),
    "QUIT": Row(closing.quit_, ANY),
    "RETR": Row(retrieval.retr, _TRANSACTION),
    "RSET": Row(deletion.rset, _TRANSACTION),
    "STAT": Row(listing.stat, _TRANSACTION),
    "STLS": Row(capability.stls, _AUTHORIZATION),
    "TOP": Row(retrieval.top, _TRANSACTION),
    "UIDL": Row(listing.uidl, _TRANSACTION),
    "USER": Row(login.user, _AUTHORIZATION),
    "UTF8": Row(capability.utf8, _AUTHORIZATION),
}
