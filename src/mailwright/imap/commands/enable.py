"""ENABLE (RFC 5161)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.watch import begin_watch

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_WITH_CONDSTORE: Final = frozenset({"CONDSTORE", "QRESYNC"})  # RFC 7162 3.2.3
ENABLEABLE: Final = frozenset({"CONDSTORE", "QRESYNC", "UIDONLY", "IMAP4REV2", "UTF8=ACCEPT", "METADATA"})
_SPELLED: Final = {"IMAP4REV2": "IMAP4rev2"}


def parse(lexer: Lexer) -> tuple[str, ...]:
    lexer.space()
    words = [lexer.word()]
    while lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text):
        lexer.space()
        words.append(lexer.word())
    return tuple(dict.fromkeys(words))


async def run(session: Session, command: Command) -> Reply:
    # RFC 5161 3.1: what is unknown is passed over; only what is now newly on is listed.
    new = [word for word in command.args if word in ENABLEABLE and word not in session.enabled]
    session.enabled = session.enabled.union(new) - ({"CONDSTORE"} & set(new))
    if not session.enabled.isdisjoint({"IMAP4REV2", "UTF8=ACCEPT"}):
        session.connection.utf8 = True
    if "METADATA" in new:
        watch = session.watching
        await begin_watch(session, watch.groups if watch is not None else (), asked=watch is not None)
    if session.rev2 and session.selected is not None:
        session.selected.view.recents = ()  # RFC 9051 has no \\Recent
        session.selected.recent_count = 0
    if "UIDONLY" in new and session.selected is not None:
        for context in session.selected.contexts.values():
            context.by_uid = True  # RFC 9586 3: no response holds sequence numbers any more
    words = [_SPELLED.get(word, word) for word in new]
    session.write(f"* ENABLED {' '.join(words)}".rstrip().encode("ascii") + b"\r\n")
    if not _WITH_CONDSTORE.isdisjoint(new):
        session.use_condstore()
    return Reply("ENABLE completed")
