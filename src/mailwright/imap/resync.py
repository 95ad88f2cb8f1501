"""What changed in a mailbox since a mod-sequence (RFC 7162): from the change log, or from what exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mailwright.imap.syntax.select import Match, Resync
from mailwright.imap.syntax.sequence import Range, gaps, intersect, join_ranges, to_ranges
from mailwright.store import changes, reading
from mailwright.store.db.api import Transaction
from mailwright.store.model import Kind, Mailbox
from mailwright.store.sets import unpack_ranges


class Since(NamedTuple):
    """UIDs of messages that are gone, and of those that came or changed (some of which may be gone too)."""

    vanished: list[Range]
    changed: list[Range]


def read_resync(tx: Transaction, account: int, mailbox: Mailbox, resync: Resync) -> Since | None:
    """What a returning client is to be told; None when the mailbox is not the one it knew."""
    if resync.uidvalidity != mailbox.uidvalidity:
        return None
    since = read_since(tx, account, mailbox.id, resync.modseq, mailbox.uidnext, resync.matches)
    if resync.known is None:
        return since
    return Since(intersect(since.vanished, resync.known), intersect(since.changed, resync.known))


def read_since(
    tx: Transaction, account: int, mailbox: int, modseq: int, uidnext: int, matches: Sequence[Match] = ()
) -> Since:
    """All changes after `modseq`. Where the log does not reach back, every UID without a message is gone."""
    if not changes.reaches(tx, account, modseq):
        return _compare(tx, account, mailbox, modseq, uidnext, matches)
    vanished: list[Range] = []
    changed: list[Range] = []
    for change in changes.read_changes(tx, account, modseq, mailbox):
        if change.kind == Kind.EXPUNGED:
            vanished += unpack_ranges(change.uids)
        elif change.kind in (Kind.ARRIVED, Kind.FLAGS):
            changed += unpack_ranges(change.uids)
    return Since(join_ranges(vanished), join_ranges(changed))


def _compare(
    tx: Transaction, account: int, mailbox: int, modseq: int, uidnext: int, matches: Sequence[Match]
) -> Since:
    rows = reading.read_columns(tx, account, mailbox, 1, uidnext - 1, "p.uid, p.modseq")
    uids = [uid for uid, _ in rows]
    vanished = gaps(uids, uidnext - 1)
    intact = _last_match(uids, matches)
    if intact:
        vanished = intersect(vanished, [(intact + 1, uidnext)])
    return Since(vanished, to_ranges([uid for uid, changed in rows if changed > modseq]))


def _last_match(uids: Sequence[int], matches: Sequence[Match]) -> int:
    """The highest UID that still has the sequence number a client remembers: below it nothing is gone."""
    for match in reversed(matches):
        for n in range(min(match.length, len(uids) - match.number + 1) - 1, -1, -1):
            if uids[match.number + n - 1] == match.uid + n:
                return match.uid + n
    return 0
