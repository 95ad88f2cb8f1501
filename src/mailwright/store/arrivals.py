"""How messages come into mailboxes: described, counted, threaded and logged; many at the price of few.

A message is what is shared: blob, structure, thread. A place is its stay in one mailbox, with its own UID and flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mailwright.message.links import from_record
from mailwright.message.summary import Summary
from mailwright.store import bulk, changes
from mailwright.store.blobs.api import Blob
from mailwright.store.bulk import Counts
from mailwright.store.db.api import Transaction
from mailwright.store.db.insert import insert
from mailwright.store.errors import NoSuchMailbox, NotAllowed, OverQuota
from mailwright.store.model import ID_BITS, MAX_KEYWORD, MAX_KEYWORDS, Added, Kind, Place

PLACE = "uid, message, modseq, flags, keywords, internal_date, saved_at"  # the columns of `model.Place`
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
    if not arrivals:
        return []
    for arrival in arrivals:
        check_keywords(arrival.keywords)
    octets = sum([arrival.message.size for arrival in arrivals])
    modseq, first = _count_in(tx, account, octets, len(arrivals), enforce_quota)
    ids = [account << ID_BITS | number for number in range(first, first + len(arrivals))]
    places = [
        Place(0, message, modseq, flags, keywords, now if date is None else date, now)
        for message, (_, flags, keywords, date) in zip(ids, arrivals, strict=True)
    ]
    uidvalidity, uid = take_uids(tx, account, mailbox, modseq, bulk.count(places, octets))
    messages = [arrival.message for arrival in arrivals]
    blobs = tx.blobs.keep_all(tx, [message.blob for message in messages], now)
    threads = find_threads(tx, account, [message.summary.links for message in messages], ids)
    _insert_messages(tx, ids, blobs, threads, messages, now)
    uids = list(range(uid, uid + len(places)))
    insert_places(
        tx, account, mailbox, [place._replace(uid=at) for place, at in zip(places, uids, strict=True)]
    )
    changes.append(tx, account, modseq, mailbox, Kind.ARRIVED, uids, ids)
    return [Added(mailbox, uidvalidity, at, message, modseq) for at, message in zip(uids, ids, strict=True)]


def _count_in(tx: Transaction, account: int, octets: int, count: int, enforce_quota: bool) -> tuple[int, int]:
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
    insert(tx, f"places (account, mailbox, {PLACE})", [(account, mailbox, *place) for place in places])


def _insert_messages(
    tx: Transaction,
    ids: Sequence[int],
    blobs: Sequence[int],
    threads: Sequence[int],
    messages: Sequence[PreparedMessage],
    now: int,
) -> None:
    pack = tx.blobs.codec.pack
    insert(
        tx,
        "messages (id, blob, size, received_at, sent_at, thread, attachment, envelope, bodystructure,"
        " structure, preview, subject, senders, recipients, copies, links)",
        [
            (
                message_id,
                blob,
                message.summary.size,
                now,
                message.summary.sent_at,
                thread,
                int(message.summary.attachment),
                pack(message.summary.envelope),
                message.summary.bodystructure,  # as it is sent: clients ask for all of a mailbox
                pack(message.summary.structure),
                pack(message.summary.preview.encode("utf-8", "replace")),
                message.summary.subject,
                message.summary.senders,
                message.summary.recipients,
                message.summary.copies,
                message.summary.links,
            )
            for message_id, blob, thread, message in zip(ids, blobs, threads, messages, strict=True)
        ],
    )


def find_threads(tx: Transaction, account: int, links: Sequence[bytes], messages: Sequence[int]) -> list[int]:
    """For each message the thread that one of its message-ids belongs to, else a new one, named by the message."""
    hashed = [from_record(record).keys[:_MAX_THREAD_KEYS] for record in links]
    known = _read_threads(tx, account, {key for keys in hashed for key in keys})
    threads: list[int] = []
    new: list[tuple[int, int, int]] = []
    for keys, message in zip(hashed, messages, strict=True):
        thread = min([known[key] for key in keys if key in known], default=message)
        threads.append(thread)
        for key in keys:
            if key not in known:
                known[key] = thread
                new.append((account, key, thread))
    insert(tx, "threads (account, message_id, thread)", new, "ON CONFLICT (account, message_id) DO NOTHING")
    return threads


def _read_threads(tx: Transaction, account: int, keys: set[int]) -> dict[int, int]:
    if not keys:
        return {}
    wanted = list(keys)
    wanted += wanted[-1:] * (
        (1 << (len(wanted) - 1).bit_length()) - len(wanted)
    )  # few statements are prepared
    marks = ", ".join("?" * len(wanted))
    return dict(
        tx.all(
            f"SELECT message_id, thread FROM threads WHERE account = ? AND message_id IN ({marks})",  # noqa: S608
            account,
            *wanted,
        )
    )


def check_keywords(keywords: str) -> None:
    """Raises NotAllowed when there are too many keywords or one is too long."""
    if not keywords:
        return
    words = keywords.split(" ")
    if len(words) > MAX_KEYWORDS:
        raise NotAllowed(f"a message can have {MAX_KEYWORDS} keywords; remove some")
    if any(len(word) > MAX_KEYWORD for word in words):
        raise NotAllowed(f"a keyword is longer than {MAX_KEYWORD} characters")
