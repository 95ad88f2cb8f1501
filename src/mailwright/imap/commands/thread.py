"""THREAD and UID THREAD (RFC 5256 BASE.6.4.THREAD)."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.search.answer import search, to_numbers
from mailwright.imap.search.keys import PORTION, read_rows
from mailwright.imap.sort import SENT, casemap
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sort import ThreadArgs, parse_thread
from mailwright.imap.thread import Message, by_references, ordered_subject
from mailwright.imap.view import Key
from mailwright.message.links import from_record
from mailwright.store import references
from mailwright.store.db.api import Transaction

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_ALGORITHMS = {"ORDEREDSUBJECT": ordered_subject, "REFERENCES": by_references}
_COLUMNS = (SENT, "m.subject", "m.links", "m.id", "m.blob", "m.size")


def parse(lexer: Lexer) -> ThreadArgs:
    lexer.space()
    return parse_thread(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: ThreadArgs = command.args
    selected = session.open_mailbox()
    found = await search(session, selected, command, args.search)
    if not command.uid:
        await to_numbers(session, selected, found.uids[:1])  # loads what is needed
    view = selected.view
    numbers = found.uids if command.uid else array("I", view.numbers(found.uids))
    if len(numbers) < len(found.uids):  # the client was not told of some
        numbers = array("I", [view.number(uid) for uid in found.uids])
    name = (selected.key, args.algorithm)
    threads = session.service.orders.find(name, found.uids, numbers)
    if not isinstance(threads, bytes):
        threads = await _make_threads(session, selected.key, args.algorithm, found.uids, numbers)
        session.service.orders.keep(name, found.uids, numbers, threads)
    session.write(responses.thread(threads))
    return Reply("THREAD completed")


async def _make_threads(
    session: Session, key: Key, algorithm: str, uids: array[int], numbers: array[int]
) -> bytes:
    store = session.service.store
    messages: list[Message] = []
    for start in range(0, len(uids), PORTION):
        part = slice(start, start + PORTION)
        batch = await store.read(_read_messages, key, uids[part], numbers[part])
        messages += batch.messages
        if batch.new:
            await store.write(references.keep, batch.new)
    return await store.off_loop(_ALGORITHMS[algorithm], messages)


class _Batch(NamedTuple):
    """Messages, and the records of those that were stored without one."""

    messages: list[Message]
    new: list[tuple[int, bytes]]


def _read_messages(tx: Transaction, key: Key, uids: array[int], numbers: array[int]) -> _Batch:
    shown = dict(zip(uids, numbers, strict=True))
    batch = _Batch([], [])
    for sent, subject, record, message, blob, size, uid in read_rows(tx, key, uids, _COLUMNS):
        if not shown[uid]:
            continue
        if record is None:
            record = references.read_record(tx, blob, size)
            batch.new.append((message, record))
        links = from_record(record)
        batch.messages.append(Message(shown[uid], sent, casemap(subject), *links))
    return batch
