"""What a postmaster does with the queue: show, count, hold, release, retry, re-route, expire, delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mailwright.base.domain import spellings
from mailwright.queue import lanes, model, trace, usage
from mailwright.queue.model import Reporter, Rules
from mailwright.queue.planner import Lane
from mailwright.queue.values import Outcome, Recipient, Result
from mailwright.store.db.api import Transaction, Value
from mailwright.store.notify.api import QUEUE

BATCH: Final = 500  # recipients changed in one transaction


@dataclass(frozen=True)
class Selection:
    """Which recipients are meant; all that is given must match, nothing given means all.

    `sender` and `recipient` are whole addresses ('' or '<>' as sender: reports), or '@domain' for all of a domain.
    `destination` is the domain, or a route's '@name'. `account` is a number. `newest` leaves out messages that were
    queued after that one.
    """

    id: int | None = None
    sender: str | None = None
    recipient: str | None = None
    destination: str | None = None
    account: int | None = None
    held: bool | None = None
    newest: int | None = None

    def where(self) -> tuple[str, list[Value]]:
        """The condition over queue_recipients `r` and queue_messages `m`, and its parameters."""
        terms: list[str] = []
        params: list[Value] = []
        for column, value in (("r.message", self.id), ("r.account", self.account)):
            if value is not None:
                terms.append(f"{column} = ?")
                params.append(value)
        if self.destination is not None:
            names = spellings(self.destination)
            terms.append(f"r.destination IN ({', '.join('?' * len(names))})")
            params += names
        for column, text in (("m.reverse_path", self.sender), ("r.address", self.recipient)):
            if text is not None:
                text = _bare(text)
                names = spellings(text)
                terms.append(f"({' OR '.join([_match(column, text)] * len(names))})")
                params += [_pattern(name) for name in names]
        if self.newest is not None:
            terms.append("r.message <= ?")
            params.append(self.newest)
        if self.held is not None:
            terms.append("r.held = ?")
            params.append(int(self.held))
        return " AND ".join(terms) or "1 = 1", params


def _bare(address: str) -> str:
    """Without the <> in which addresses are shown."""
    return address.strip().removeprefix("<").removesuffix(">")


def _match(column: str, text: str) -> str:
    return f"lower({column}) LIKE ? ESCAPE '\\'" if text.startswith("@") else f"lower({column}) = ?"


def _pattern(name: str) -> str:
    if not name.startswith("@"):
        return name
    return "%" + name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


@dataclass(frozen=True)
class Entry:
    """A recipient in the queue, as `mailwright queue` shows it. Times are seconds since the epoch."""

    id: int
    n: int
    account: int
    reverse_path: str
    address: str
    destination: str
    size: int
    received_at: float
    next_attempt_at: float  # while `active`, when its lease ends unless it is kept up
    expires_at: float
    attempts: int
    held: bool
    active: bool  # an attempt is going on, or is about to be made
    last_attempt_at: float
    last_status: str
    last_reply: str
    last_host: str


_ENTRY: Final = (
    "SELECT r.message, r.n, r.account, m.reverse_path, r.address, r.destination, m.size, m.received_at, r.due_at,"
    " m.expires_at, r.attempts, r.held, r.owner, r.last_at, r.last_status, r.last_reply, r.last_host"
    " FROM queue_recipients r JOIN queue_messages m ON m.id = r.message"
)


def entries(
    tx: Transaction, selection: Selection, limit: int = 100, after: tuple[int, int] = (0, -1)
) -> list[Entry]:
    """The recipients selected, by id, at most `limit` of them, those after (id, n)."""
    return list(_entries(tx, selection, limit, after))


def _entries(tx: Transaction, selection: Selection, limit: int, after: tuple[int, int]) -> Iterator[Entry]:
    where, params = selection.where()
    sql = f"{_ENTRY} WHERE {where} AND (r.message, r.n) > (?, ?) ORDER BY r.message, r.n LIMIT ?"
    for row in tx.all(sql, *params, *after, limit):
        (number, n, account, path, address, destination, size, received, due, expires) = row[:10]
        (attempts, held, owner, last_at, status, reply, host) = row[10:]
        yield Entry(
            number, n, account, path, address, destination, size, received, due, expires,
            attempts, bool(held), bool(owner), last_at, status, reply, host,
        )  # fmt: skip


@dataclass(frozen=True)
class Count:
    """So many recipients for a destination have the same reason to be in the queue."""

    destination: str
    reason: str  # the last reply, '' when not tried yet
    recipients: int
    held: int
    oldest: float  # when the first of them was received


def counts(tx: Transaction, selection: Selection | None = None, limit: int = 100) -> list[Count]:
    """The queue by destination and reason, the largest first."""
    where, params = (selection or Selection()).where()
    rows = tx.all(
        "SELECT r.destination, r.last_reply, COUNT(*), SUM(r.held), MIN(m.received_at) FROM queue_recipients r"  # noqa: S608
        f" JOIN queue_messages m ON m.id = r.message WHERE {where}"
        " GROUP BY r.destination, r.last_reply ORDER BY COUNT(*) DESC, r.destination, r.last_reply LIMIT ?",
        *params,
        limit,
    )
    return [Count(row[0], row[1], int(row[2]), int(row[3]), row[4]) for row in rows]


class Standing(NamedTuple):
    """How many recipients are queued, and how many of them are being tried at this moment, or are held."""

    queued: int
    active: int
    held: int


def standing(tx: Transaction, selection: Selection) -> Standing:
    """What is queued of a selection."""
    where, params = selection.where()
    row = tx.one(
        "SELECT COUNT(*), COALESCE(SUM(CASE WHEN r.owner <> '' THEN 1 ELSE 0 END), 0), COALESCE(SUM(r.held), 0)"  # noqa: S608
        f" FROM queue_recipients r JOIN queue_messages m ON m.id = r.message WHERE {where}",
        *params,
    )
    assert row is not None
    return Standing(int(row[0]), int(row[1]), int(row[2]))


def newest(tx: Transaction) -> int:
    """The id of the message that was queued last; 0 when nothing is."""
    row = tx.one("SELECT COALESCE(MAX(id), 0) FROM queue_messages")
    assert row is not None
    return int(row[0])


def size(tx: Transaction) -> tuple[int, int]:
    """Messages and recipients in the queue."""
    row = tx.one("SELECT (SELECT COUNT(*) FROM queue_messages), (SELECT COUNT(*) FROM queue_recipients)")
    assert row is not None
    return int(row[0]), int(row[1])


# Changing. Each does at most `limit` recipients and returns how many; call it again until that is less than `limit`.
# A recipient whose attempt is going on is left alone: hold and delete would come too late for it.


def _pick(
    tx: Transaction, selection: Selection, limit: int, extra: str = "", *more: Value
) -> list[tuple[int, int, Lane, str]]:
    where, params = selection.where()
    # Until we commit, nobody begins an attempt of what is picked; where one began just now, it is not.
    held = tx.dialect.for_update and f"{tx.dialect.for_update} OF r"
    rows = tx.all(
        "SELECT r.message, r.n, r.tier, r.account, r.destination, r.address FROM queue_recipients r"  # noqa: S608
        f" JOIN queue_messages m ON m.id = r.message WHERE {where} AND r.owner = ''{extra}"
        f" ORDER BY r.message, r.n LIMIT ?{held}",
        *params,
        *more,
        limit,
    )
    return [(row[0], row[1], Lane(row[2], row[3], row[4]), row[5]) for row in rows]


def _note(tx: Transaction, picked: Sequence[tuple[int, int, Lane, str]], now: float, kind: str) -> None:
    by_message: dict[int, list[str]] = {}
    for number, _, _, address in picked:
        by_message.setdefault(number, []).append(address)
    for number, addresses in by_message.items():
        trace.add(tx, number, now, kind, {"recipients": addresses})


def _make_due(tx: Transaction, due: Iterable[tuple[Lane, float]]) -> None:
    """Let these lanes be looked at, by whoever sends the queue: at once."""
    lanes.touch(tx, due)
    tx.announce(QUEUE, 0)


def hold(tx: Transaction, selection: Selection, now: float, limit: int = BATCH) -> int:
    """Keep them in the queue without trying, without a limit in time."""
    picked = _pick(tx, selection, limit, " AND r.held = 0")
    tx.many(
        "UPDATE queue_recipients SET held = 1 WHERE message = ? AND n = ?", [(m, n) for m, n, _, _ in picked]
    )
    _note(tx, picked, now, "held")
    return len(picked)


def release(tx: Transaction, selection: Selection, now: float, limit: int = BATCH) -> int:
    """Let go what was held; it is due at once.

    An account that was stopped may send again when nothing of its mail is held any more; where nothing was, that
    takes a selection of everything, or of its address as sender.
    """
    picked = _pick(tx, selection, limit, " AND r.held = 1")
    tx.many(
        "UPDATE queue_recipients SET held = 0, due_at = ? WHERE message = ? AND n = ?",
        [(now, m, n) for m, n, _, _ in picked],
    )
    _make_due(tx, ((lane, now) for _, _, lane, _ in picked))
    _note(tx, picked, now, "released")
    _end_stops(tx, {lane.account for _, _, lane, _ in picked} | _stopped(tx, selection))
    return len(picked)


def _stopped(tx: Transaction, selection: Selection) -> set[int]:
    """The stopped accounts whose whole mail is meant, whether there is any or not."""
    if not (selection.id is None and selection.recipient is None and selection.destination is None):
        return set()
    names = None if selection.sender is None else spellings(_bare(selection.sender))
    return {
        account
        for account, address in usage.stopped_addresses(tx).items()
        if selection.account in (None, account)
        and (names is None or address in names or address[address.find("@") :] in names)
    }


def _end_stops(tx: Transaction, accounts: Iterable[int]) -> None:
    for account in accounts:
        tx.run(
            "DELETE FROM queue_stops WHERE account = ? AND NOT EXISTS"
            " (SELECT 1 FROM queue_recipients WHERE account = ? AND held = 1)",
            account,
            account,
        )


def retry(tx: Transaction, selection: Selection, now: float, limit: int = BATCH) -> int:
    """Make them due now, also where the destination rests."""
    picked = _pick(tx, selection, limit, " AND r.held = 0 AND r.due_at > ?", now)
    tx.many(
        "UPDATE queue_recipients SET due_at = ? WHERE message = ? AND n = ?",
        [(now, m, n) for m, n, _, _ in picked],
    )
    resting = {lane for _, _, lane, _ in picked} | _resting_lanes(tx, selection, now)
    _make_due(tx, ((lane, now) for lane in resting))
    return len(picked)


def _resting_lanes(tx: Transaction, selection: Selection, now: float) -> set[Lane]:
    where, params = selection.where()
    rows = tx.all(
        "SELECT DISTINCT r.tier, r.account, r.destination FROM queue_recipients r"  # noqa: S608
        f" JOIN queue_messages m ON m.id = r.message WHERE {where} AND r.held = 0 AND r.due_at <= ?",
        *params,
        now,
    )
    return {Lane(*row) for row in rows}


def reroute(tx: Transaction, selection: Selection, now: float, rules: Rules, to: str = "") -> int:
    """Send all selected another way: to `to` (a domain, or '@name' of a route), or as the routes say now."""
    moved = 0
    last = (0, -1)
    while picked := _pick(tx, selection, BATCH, " AND (r.message, r.n) > (?, ?)", *last):
        last = picked[-1][0], picked[-1][1]
        moved += _reroute(tx, picked, now, rules, to)
    return moved


def _reroute(
    tx: Transaction, picked: Sequence[tuple[int, int, Lane, str]], now: float, rules: Rules, to: str
) -> int:
    messages = model.read_messages(tx, {number for number, _, _, _ in picked}, content=False)
    moved: list[tuple[int, int, Lane, str]] = []
    for number, n, lane, address in picked:
        target = to or rules.router.destination(messages[number].reverse_path, address)
        if target != lane.destination:
            moved.append((number, n, Lane(lane.tier, lane.account, target), address))
    tx.many(
        "UPDATE queue_recipients SET destination = ?, due_at = ? WHERE message = ? AND n = ?",
        [(lane.destination, now, number, n) for number, n, lane, _ in moved],
    )
    _make_due(tx, ((lane, now) for _, _, lane, _ in moved))
    _note(tx, moved, now, "rerouted")
    return len(moved)


def expire(
    tx: Transaction,
    selection: Selection,
    now: float,
    rules: Rules,
    report: Reporter | None,
    limit: int = BATCH,
) -> int:
    """Give up now, with a report to the sender where one is due.

    The reports may be queued too: who repeats this selects nothing newer than was there before.
    """
    picked = _pick(tx, selection, limit)
    late: dict[int, list[tuple[Recipient, Result]]] = {}
    for number, n, _, _ in picked:
        row = tx.one(
            "SELECT address, orcpt, notify, attempts, warned, last_reply, last_host FROM queue_recipients"
            " WHERE message = ? AND n = ?",
            number,
            n,
        )
        if row is not None:
            recipient = Recipient(n, row[0], row[1], row[2], row[3], bool(row[4]))
            text = row[5] or "the administrator ended the delivery"
            late.setdefault(number, []).append(
                (recipient, Result(Outcome.DEFERRED, "expired", "5.4.7", text, 0, row[6]))
            )
    messages = model.read_messages(tx, set(late), content=False)
    for number, recipients in late.items():
        model.expire(tx, messages[number], recipients, now, rules, report)
    _end_stops(tx, {lane.account for _, _, lane, _ in picked})
    return len(picked)


def delete(tx: Transaction, selection: Selection, now: float, limit: int = BATCH) -> int:
    """Take out of the queue without a word to anybody."""
    picked = _pick(tx, selection, limit)
    tx.many("DELETE FROM queue_recipients WHERE message = ? AND n = ?", [(m, n) for m, n, _, _ in picked])
    _note(tx, picked, now, "deleted")
    model.remove_if_done(tx, {number for number, _, _, _ in picked})
    _end_stops(tx, {lane.account for _, _, lane, _ in picked})
    return len(picked)
