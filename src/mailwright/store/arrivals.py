"""How messages come into mailboxes: described, counted, threaded and logged; many at the price of few.

A message is what is shared: blob, structure, thread. A place is its stay in one mailbox, with its own UID and flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mailwright.message.links import from_record
from mailwright.message.summary import Summary
from mailwright.store import changes
from mailwright.store.blobs.api import Blob
from mailwright.store.bulk import DELETED, SEEN, Counts
from mailwright.store.db.api import Transaction, Value
from mailwright.store.db.insert import insert, select, select_tuples, update
from mailwright.store.errors import NoSuchMailbox, NotAllowed, OverQuota
from mailwright.store.marks import NONE, Marks, find_marks
from mailwright.store.model import ID_BITS, MAX_KEYWORD, MAX_KEYWORDS, Added, Place, Room, room_of

_PLACES = "places (account, mailbox, uid, message, own_modseq, mark, internal_date, saved_at)"
_MAX_THREAD_KEYS = 30  # message-ids of one message that are remembered


class PreparedMessage(NamedTuple):
    """A message that is parsed, compressed and ready to be put into mailboxes."""

    blob: Blob
    summary: Summary

    @property
    def size(self) -> int:
        return self.summary.size


class Arrival(NamedTuple):
    """A message and what its place begins with. `keywords` is sorted and space-separated, the date is in seconds."""

    message: PreparedMessage
    flags: int = 0
    keywords: str = ""
    internal_date: int | None = None  # None: now


class Standing(NamedTuple):
    """A mailbox into which messages may come, and its account: nobody else changes them in this transaction."""

    account: int
    mailbox: int
    modseq: int  # of the account
    last_id: int
    uidvalidity: int
    uidnext: int
    fresh: int  # the mark of what comes without flags
    room: Room


class Target(NamedTuple):
    """A mailbox and what comes into it."""

    standing: Standing
    arrivals: Sequence[Arrival]


_STANDING = (
    "SELECT s.account, m.id, s.modseq, s.last_id, m.uidvalidity, m.uidnext, m.fresh, s.quota_bytes - s.bytes,"
    " s.quota_messages - s.messages FROM account_state s JOIN mailboxes m ON m.account = s.account WHERE"
)


def read_inboxes(tx: Transaction, accounts: Iterable[int]) -> dict[int, Standing]:
    """The INBOX of each account that is still there, in rising order: so no two writers wait for each other."""
    sql = f"{_STANDING} m.name = 'INBOX' AND s.account IN"
    rows = select(tx, sql, sorted(accounts), f"ORDER BY s.account{tx.dialect.for_update}")
    return {row[0]: _standing(*row) for row in rows}


def read_standing(tx: Transaction, account: int, mailbox: int) -> Standing:
    """One mailbox. Raises NoSuchMailbox."""
    sql = f"{_STANDING} s.account = ? AND m.id = ?{tx.dialect.for_update}"
    row = tx.one(sql, account, mailbox)
    if row is None:
        raise NoSuchMailbox("the mailbox was deleted")
    return _standing(*row)


def _standing(
    account: int,
    mailbox: int,
    modseq: int,
    last: int,
    uidvalidity: int,
    uidnext: int,
    fresh: int,
    *left: int | None,
) -> Standing:
    return Standing(account, mailbox, modseq, last, uidvalidity, uidnext, fresh, room_of(*left))


def add(
    tx: Transaction,
    account: int,
    mailbox: int,
    message: PreparedMessage,
    *,
    now: int,
    flags: int = 0,
    keywords: str = "",
    internal_date: int | None = None,
    enforce_quota: bool = True,
) -> Added:
    """Put one message into a mailbox: see `add_all`."""
    arrival = Arrival(message, flags, keywords, internal_date)
    return add_all(tx, account, mailbox, [arrival], now=now, enforce_quota=enforce_quota)[0]


def add_all(
    tx: Transaction,
    account: int,
    mailbox: int,
    arrivals: Sequence[Arrival],
    *,
    now: int,
    enforce_quota: bool = True,
) -> list[Added]:
    """Put messages into a mailbox as one change, all or none. Raises NoSuchMailbox, OverQuota, NotAllowed."""
    target = Target(read_standing(tx, account, mailbox), arrivals)
    octets = sum([arrival.message.size for arrival in arrivals])
    if enforce_quota and not target.standing.room.takes(octets, len(arrivals)):
        raise OverQuota("the account has no room for this message; delete some mail or raise the quota")
    return add_to_each(tx, [target], now=now)


def add_to_each(tx: Transaction, targets: Sequence[Target], *, now: int, alone: bool = False) -> list[Added]:
    """Put messages into mailboxes of several accounts, whatever their quotas. Raises NotAllowed.

    `alone` tells that the messages are like no others: see `BlobStore.keep_all`.
    """
    targets = [target for target in targets if target.arrivals]
    added, places = _count_in(tx, targets, now)
    messages = [arrival.message for target in targets for arrival in target.arrivals]
    ids = [one.message for one in added]
    blobs = tx.blobs.keep_all(tx, [message.blob for message in messages], now, alone=alone)
    threads = find_threads(tx, [message.summary.links for message in messages], ids)
    _insert_messages(tx, ids, blobs, threads, messages, now)
    insert(tx, _PLACES, places)
    return added


def _count_in(
    tx: Transaction, targets: Sequence[Target], now: int
) -> tuple[list[Added], list[Sequence[Value]]]:
    """Count messages into their accounts and mailboxes and log that; what is added, and the rows of their places."""
    added: list[Added] = []
    places: list[Sequence[Value]] = []
    accounts: list[Sequence[Value]] = []
    mailboxes: list[Sequence[Value]] = []
    arrived: list[changes.Arrived] = []
    for (account, mailbox, modseq, last, uidvalidity, uid, fresh, _), arrivals in targets:
        modseq += 1
        marks = _find_marks(tx, account, mailbox, fresh, arrivals)
        unseen = deleted = octets = 0
        numbers = range(len(arrivals))
        ids = [(account << ID_BITS) + last + 1 + n for n in numbers]
        for n, (message, flags, keywords, date) in enumerate(arrivals):
            unseen += not flags & SEEN
            deleted += flags & DELETED != 0
            octets += message.size
            places.append(
                (
                    account,
                    mailbox,
                    uid + n,
                    ids[n],
                    modseq,
                    marks[Marks(flags, keywords)],
                    now if date is None else date,
                    now,
                )
            )
        accounts.append((account, len(arrivals), octets))
        mailboxes.append((account, mailbox, modseq, len(arrivals), unseen, deleted, octets))
        arrived.append(changes.Arrived(account, modseq, mailbox, [uid + n for n in numbers], ids))
        added += [Added(mailbox, uidvalidity, uid + n, ids[n], modseq) for n in numbers]
    update(tx, _COUNT_IN_ACCOUNT, "account = {1}", accounts)
    update(tx, _COUNT_IN_MAILBOX, "account = {1} AND id = {2}", mailboxes)
    changes.append_arrived(tx, arrived)
    return added, places


def _find_marks(
    tx: Transaction, account: int, mailbox: int, fresh: int, arrivals: Sequence[Arrival]
) -> dict[Marks, int]:
    """The marks for these flags and keywords. Raises NotAllowed."""
    wanted = {Marks(int(flags), keywords) for _, flags, keywords, _ in arrivals if flags or keywords}
    for _, keywords in wanted:
        check_keywords(keywords)
    return {NONE: fresh} | (find_marks(tx, account, mailbox, wanted) if wanted else {})


_COUNT_IN_ACCOUNT = (
    "UPDATE account_state SET modseq = modseq + 1, last_id = last_id + {2}, bytes = bytes + {3},"
    " messages = messages + {2}"
)
_COUNT_IN_MAILBOX = (
    "UPDATE mailboxes SET uidnext = uidnext + {4}, modseq = {3}, messages = messages + {4}, unseen = unseen + {5},"
    " deleted = deleted + {6}, bytes = bytes + {7}"
)


def take_uids(tx: Transaction, account: int, mailbox: int, modseq: int, counts: Counts) -> tuple[int, int]:
    """Count places into a mailbox; its UIDVALIDITY and the first of their UIDs. Raises NoSuchMailbox."""
    row = tx.one(
        "UPDATE mailboxes SET uidnext = uidnext + ?, modseq = ?, messages = messages + ?, unseen = unseen + ?,"
        " deleted = deleted + ?, bytes = bytes + ? WHERE account = ? AND id = ? RETURNING uidvalidity, uidnext",
        counts.messages,
        modseq,
        *counts,
        account,
        mailbox,
    )
    if row is None:
        raise NoSuchMailbox("the mailbox was deleted")
    return int(row[0]), int(row[1]) - counts.messages


def insert_places(tx: Transaction, account: int, mailbox: int, places: Sequence[Place]) -> None:
    found = find_marks(tx, account, mailbox, {Marks(place.flags, place.keywords) for place in places})
    rows = [
        (account, mailbox, uid, message, modseq, found[Marks(flags, keywords)], date, saved)
        for uid, message, modseq, flags, keywords, date, saved in places
    ]
    insert(tx, _PLACES, rows)


def _insert_messages(
    tx: Transaction,
    ids: Sequence[int],
    blobs: Sequence[int],
    threads: Sequence[int],
    messages: Sequence[PreparedMessage],
    now: int,
) -> None:
    texts: list[bytes] = []
    for message in messages:
        summary = message.summary
        texts += (summary.envelope, summary.structure, summary.preview.encode("utf-8", "replace"))
    packed = iter(tx.blobs.codec.pack(texts))
    insert(
        tx,
        "messages (id, blob, size, received_at, sent_at, sent_zone, thread, attachment, envelope, bodystructure,"
        " structure, preview, subject, senders, recipients, copies, links)",
        [
            (
                message_id,
                blob,
                message.summary.size,
                now,
                message.summary.sent_at,
                message.summary.sent_zone,
                thread,
                int(message.summary.attachment),
                envelope,
                message.summary.bodystructure,  # as it is sent: clients ask for all of a mailbox
                structure,
                preview,
                message.summary.subject,
                message.summary.senders,
                message.summary.recipients,
                message.summary.copies,
                message.summary.links,
            )
            for message_id, blob, thread, message, envelope, structure, preview in zip(
                ids, blobs, threads, messages, packed, packed, packed, strict=True
            )
        ],
    )


def find_threads(tx: Transaction, links: Sequence[bytes], messages: Sequence[int]) -> list[int]:
    """For each message the thread that one of its message-ids belongs to, else a new one, named by the message."""
    hashed = [
        [(message >> ID_BITS, key) for key in from_record(record).keys[:_MAX_THREAD_KEYS]]
        for record, message in zip(links, messages, strict=True)
    ]
    known = _read_threads(tx, {key for keys in hashed for key in keys})
    threads: list[int] = []
    new: list[tuple[int, int, int]] = []
    for keys, message in zip(hashed, messages, strict=True):
        thread = min([known[key] for key in keys if key in known], default=message)
        threads.append(thread)
        for key in keys:
            if key not in known:
                known[key] = thread
                new.append((*key, thread))
    insert(tx, "threads (account, message_id, thread)", new, "ON CONFLICT (account, message_id) DO NOTHING")
    return threads


def _read_threads(tx: Transaction, keys: set[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """The threads of those that are known of these accounts and message-ids."""
    sql = "SELECT account, message_id, thread FROM threads WHERE (account, message_id) IN"
    return {(account, key): thread for account, key, thread in select_tuples(tx, sql, list(keys))}


def check_keywords(keywords: str) -> None:
    """Raises NotAllowed when there are too many keywords or one is too long."""
    if not keywords:
        return
    words = keywords.split(" ")
    if len(words) > MAX_KEYWORDS:
        raise NotAllowed(f"a message can have {MAX_KEYWORDS} keywords; remove some")
    if any(len(word) > MAX_KEYWORD for word in words):
        raise NotAllowed(f"a keyword is longer than {MAX_KEYWORD} characters")
