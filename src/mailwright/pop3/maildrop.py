"""A maildrop: INBOX as it was at login (RFC 1939 3), with the marks of what QUIT will remove."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from mailwright.store import mailboxes, messages, reading
from mailwright.store.blobs.api import CHUNK
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMessage

PIECE: Final = CHUNK  # octets of a message that are in memory at a time
AHEAD: Final = 64 * 1024  # octets of small messages that are read together
_TOGETHER: Final = 16  # messages
_LAST_UID: Final = 0xFFFF_FFFF


class Maildrop:
    """Message numbers run from 1 to `total`; some 17 octets of memory a message."""

    def __init__(
        self, account: int, mailbox: int, uidvalidity: int, uids: array[int], sizes: array[int]
    ) -> None:
        self.account = account
        self.mailbox = mailbox
        self._uidvalidity = uidvalidity
        self._uids = uids
        self._sizes = sizes
        self._marks = bytearray(len(uids))
        self.count = len(uids)  # without those marked
        self.octets = sum(sizes)
        self.ahead: dict[int, bytes] = {}  # by UID: messages that were read before they were asked for
        self.latest = 0  # the number of the message that was read last

    @property
    def total(self) -> int:
        """With those marked."""
        return len(self._uids)

    def is_deleted(self, number: int) -> bool:
        return bool(self._marks[number - 1])

    def delete(self, number: int) -> None:
        """Mark a message that is not marked yet."""
        self._marks[number - 1] = 1
        self.count -= 1
        self.octets -= self._sizes[number - 1]

    def restore(self) -> None:
        """Take all marks back."""
        self._marks = bytearray(self.total)
        self.count = self.total
        self.octets = sum(self._sizes)

    def deleted_uids(self) -> list[int]:
        return [uid for uid, mark in zip(self._uids, self._marks, strict=True) if mark]

    def uid(self, number: int) -> int:
        return self._uids[number - 1]

    def size(self, number: int) -> int:
        """In octets, as stored."""
        return self._sizes[number - 1]

    def together(self, number: int) -> int:
        """The UID of the last message that may be read together with this one."""
        return self._uids[min(number + _TOGETHER, self.total) - 1]

    def unique_id(self, number: int) -> str:
        """At most 21 characters (RFC 1939 7 allows 70). UIDVALIDITY and UID never name another message."""
        return f"{self._uidvalidity}.{self._uids[number - 1]}"

    def numbers(self, first: int, last: int) -> Iterator[int]:
        """The numbers from `first` to `last` that are not marked."""
        marks = self._marks
        return (number for number in range(first, min(last, self.total) + 1) if not marks[number - 1])


def open_maildrop(tx: Transaction, account: int) -> Maildrop:
    """Read INBOX. Raises NoSuchMailbox."""
    inbox = mailboxes.find_mailbox(tx, account, "INBOX")
    uids, sizes = array("Q"), array("Q")
    for uid, size in reading.read_joined(tx, account, inbox.id, 1, _LAST_UID, "p.uid, m.size"):
        uids.append(uid)
        sizes.append(size)
    return Maildrop(account, inbox.id, inbox.uidvalidity, uids, sizes)


def read_piece(tx: Transaction, account: int, mailbox: int, uid: int, start: int) -> bytes:
    """At most PIECE octets of a message from octet `start`. Raises NoSuchMessage, and StoreFailed when damaged.

    The place is looked up each time: when the message goes while it is sent, its blob's number may be used again.
    """
    rows = list(reading.read_joined(tx, account, mailbox, uid, uid, "m.blob, m.size"))
    if not rows:
        raise NoSuchMessage("the message is gone")
    blob, size = rows[0]
    if size <= PIECE:
        return tx.blobs.read_whole(tx, blob)
    return b"".join(tx.blobs.read(tx, blob, start, min(size, start + PIECE)))


def read_ahead(tx: Transaction, account: int, mailbox: int, first: int, last: int) -> dict[int, bytes]:
    """Whole messages by UID, from `first` to at most `last`, until there are AHEAD octets. Raises StoreFailed."""
    found: dict[int, bytes] = {}
    room = AHEAD
    for uid, blob, size in list(
        reading.read_joined(tx, account, mailbox, first, last, "p.uid, m.blob, m.size")
    ):
        room -= size
        if room < 0:
            break
        found[uid] = tx.blobs.read_whole(tx, blob)
    return found


def remove(tx: Transaction, account: int, mailbox: int, uids: list[int]) -> int:
    """Remove messages, all or none; how many there were."""
    return len(messages.expunge(tx, account, mailbox, uids))
