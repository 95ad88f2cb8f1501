"""How messages come into mailboxes: described, counted, threaded and logged; many at the price of few.

A message is what is shared: blob, structure, thread. A place is its stay in one mailbox, with its own UID and flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mailwright.message.links import from_record
from mailwright.message.summary import Summary
from mailwright.store import changes
from mailwright.store.blobs.api import Blob
from mailwright.store.bulk import DELETED, SEEN, Counts
from mailwright.store.db.api import Transaction, Value
from mailwright.store.db.insert import insert, select
from mailwright.store.errors import NoSuchMailbox, NotAllowed, OverQuota
from mailwright.store.model import ID_BITS, MAX_KEYWORD, MAX_KEYWORDS, Added, Kind, Place

PLACE = "uid, message, modseq, flags, keywords, internal_date, saved_at"  # the columns of `model.Place`
_PLACES = f"places (account, mailbox, {PLACE})"
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


class Target(NamedTuple):
    """A mailbox and what comes into it."""

    account: int
    mailbox: int
    arrivals: Sequence[Arrival]


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
    return add_to_each(tx, [Target(account, mailbox, arrivals)], now=now, enforce_quota=enforce_quota)


def add_to_each(
    tx: Transaction, targets: Sequence[Target], *, now: int, enforce_quota: bool = True, alone: bool = False
) -> list[Added]:
    """`add_all` for several accounts, each named once and in rising order: so no two writers wait for each other.

    `alone` tells that the messages are like no others: see `BlobStore.keep_all`.
    """
    added: list[Added] = []
    messages: list[PreparedMessage] = []
    places: list[Sequence[Value]] = []
    for target in targets:
        if target.arrivals:
            messages += [arrival.message for arrival in target.arrivals]
            added += _count_in(tx, target, places, now, enforce_quota)
    ids = [one.message for one in added]
    blobs = tx.blobs.keep_all(tx, [message.blob for message in messages], now, alone=alone)
    threads = find_threads(tx, [message.summary.links for message in messages], ids)
    _insert_messages(tx, ids, blobs, threads, messages, now)
    insert(tx, _PLACES, places)
    return added


def _count_in(
    tx: Transaction, target: Target, places: list[Sequence[Value]], now: int, enforce_quota: bool
) -> list[Added]:
    """Count messages into their account and mailbox and log that; adds the rows of their places."""
    account, mailbox, arrivals = target
    for arrival in arrivals:
        check_keywords(arrival.keywords)
    count = len(arrivals)
    octets = sum([arrival.message.size for arrival in arrivals])
    modseq, first = _take_ids(tx, account, octets, count, enforce_quota)
    unseen = sum([1 for arrival in arrivals if not arrival.flags & SEEN])
    deleted = sum([1 for arrival in arrivals if arrival.flags & DELETED])
    uidvalidity, uid = take_uids(tx, account, mailbox, modseq, Counts(count, unseen, deleted, octets))
    ids = [account << ID_BITS | number for number in range(first, first + count)]
    uids = list(range(uid, uid + count))
    changes.append(tx, account, modseq, mailbox, Kind.ARRIVED, uids, ids)
    places += [
        (account, mailbox, at, message, modseq, flags, keywords, now if date is None else date, now)
        for at, message, (_, flags, keywords, date) in zip(uids, ids, arrivals, strict=True)
    ]
    return [Added(mailbox, uidvalidity, at, message, modseq) for at, message in zip(uids, ids, strict=True)]


def _take_ids(tx: Transaction, account: int, octets: int, count: int, enforce_quota: bool) -> tuple[int, int]:
    """Count messages into the account; its new modseq and the first of their numbers."""
    state = tx.one(
        "UPDATE account_state SET modseq = modseq + 1, last_id = last_id + ?, bytes = bytes + ?,"
        " messages = messages + ? WHERE account = ?"
        " RETURNING modseq, last_id, bytes, messages, quota_bytes, quota_messages",
        count,
        octets,
        count,
        account,
    )
    if state is None:
        raise NoSuchMailbox("the account was removed")
    modseq, last, *usage = state
    if enforce_quota and is_full(*usage):
        raise OverQuota("the account has no room for this message; delete some mail or raise the quota")
    return int(modseq), int(last) - count + 1


def is_full(used: int, count: int, quota_bytes: int | None, quota_messages: int | None) -> bool:
    """Whether an account has more than its quota."""
    return (quota_bytes is not None and used > quota_bytes) or (
        quota_messages is not None and count > quota_messages
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
    insert(tx, _PLACES, [(account, mailbox, *place) for place in places])


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
    return {(account, key): thread for account, key, thread in select(tx, sql, list(keys))}


def check_keywords(keywords: str) -> None:
    """Raises NotAllowed when there are too many keywords or one is too long."""
    if not keywords:
        return
    words = keywords.split(" ")
    if len(words) > MAX_KEYWORDS:
        raise NotAllowed(f"a message can have {MAX_KEYWORDS} keywords; remove some")
    if any(len(word) > MAX_KEYWORD for word in words):
        raise NotAllowed(f"a keyword is longer than {MAX_KEYWORD} characters")
