"""What accounts send: counters, contacts, suppressed addresses, and the stop that holds an account's mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mailwright.base.domain import InvalidDomain, to_ascii
from mailwright.queue.limits import BreakerLimits, Usage, check_breaker
from mailwright.queue.values import NewMessage, Result
from mailwright.store.db.api import Transaction
from mailwright.store.db.insert import insert

HOUR: Final = 3600
DAY: Final = 86_400.0
HISTORY: Final = 8 * 24  # hours of counters that are kept
CONTACT_AGE: Final = 400 * DAY
SUPPRESSED_FOR: Final = 60 * DAY

# What says that the address itself is bad, not the message or its way (RFC 3463 3.2).
_BAD_ADDRESS: Final = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")


@dataclass(frozen=True)
class Stop:
    """An account whose outbound mail is held."""

    account: int
    at: float
    reason: str


@dataclass(frozen=True)
class Suppression:
    """An address that refused an account's mail for good."""

    account: int
    address: str
    at: float
    reason: str


def read_usage(tx: Transaction, account: int, now: float) -> Usage:
    """What the account sent. The last hour is the running hour and the share of the one before that is still in it."""
    hour = int(now // HOUR)
    rows = {
        int(row[0]): row
        for row in tx.all(
            "SELECT hour, messages, recipients, strangers, delivered, failed FROM queue_counters"
            " WHERE account = ? AND hour > ?",
            account,
            hour - HISTORY,
        )
    }
    share = 1.0 - now % HOUR / HOUR
    this, last = rows.get(hour, (hour, 0, 0, 0, 0, 0)), rows.get(hour - 1, (hour, 0, 0, 0, 0, 0))
    recent = [int(this[n] + last[n] * share) for n in range(1, 6)]
    day = [row for at, row in rows.items() if at > hour - 24]
    past = [row for at, row in rows.items() if at < hour - 1]
    return Usage(
        hour_messages=recent[0],
        hour_recipients=recent[1],
        hour_strangers=recent[2],
        hour_delivered=recent[3],
        hour_failed=recent[4],
        day_messages=sum(row[1] for row in day),
        day_recipients=sum(row[2] for row in day),
        past_strangers=sum(row[3] for row in past),
        past_hours=hour - 1 - min(rows) if past else 0,
    )


def count_sent(
    tx: Transaction, messages: Sequence[NewMessage], now: float, breaker: BreakerLimits
) -> set[int]:
    """Count messages; the accounts whose mail is held, or is from now on."""
    sent: dict[int, list[str]] = {}
    counts = Counter(message.account for message in messages if message.account)
    for message in messages:
        if message.account:
            addresses = sent.setdefault(message.account, [])
            addresses += [recipient.address.lower() for recipient in message.recipients]
    strangers = _meet(tx, sent, now)
    held: set[int] = set()
    for account in sorted(sent):
        met = strangers[account]
        counted, _ = _count(tx, account, now, (counts[account], len(sent[account]), met, 0, 0))
        suspicious = met and counted > breaker.strangers_per_hour // 2
        # Looked up behind the count, where who stops the account just now is waited for.
        if read_stop(tx, account) is not None or (suspicious and _trip(tx, account, now, breaker)):
            held.add(account)
    return held


def _meet(tx: Transaction, sent: Mapping[int, Iterable[str]], now: float) -> Counter[int]:
    """To how many addresses each account writes for the first time."""
    pairs = {(account, address) for account, addresses in sent.items() for address in addresses}
    new = insert(
        tx,
        "queue_contacts (account, address, at)",
        [(account, address, now) for account, address in sorted(pairs)],
        "ON CONFLICT (account, address) DO NOTHING RETURNING account",
    )
    return Counter(int(account) for (account,) in new)


@dataclass
class Ended:
    """Recipients of one account that came to an end."""

    delivered: int = 0
    failed: list[tuple[str, Result]] = field(default_factory=list)


def count_ended(tx: Transaction, ended: Mapping[int, Ended], now: float, breaker: BreakerLimits) -> None:
    """Count recipients by account, and remember the addresses that are bad."""
    for account in sorted(ended):
        failed = ended[account].failed
        refused = sum(result.code >= 500 for _, result in failed)
        for address, result in failed:
            if result.phase == "rcpt" and result.status in _BAD_ADDRESS:
                suppress(tx, Suppression(account, address, now, result.text))
        counted = _count(tx, account, now, (0, 0, 0, ended[account].delivered, refused))
        if refused and counted[1] > breaker.failures_per_hour // 2:
            _trip(tx, account, now, breaker)


def _count(
    tx: Transaction, account: int, now: float, numbers: tuple[int, int, int, int, int]
) -> tuple[int, int]:
    """The strangers and failures of the hour so far."""
    row = tx.one(
        "INSERT INTO queue_counters (account, hour, messages, recipients, strangers, delivered, failed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, hour) DO UPDATE SET"
        " messages = queue_counters.messages + excluded.messages,"
        " recipients = queue_counters.recipients + excluded.recipients,"
        " strangers = queue_counters.strangers + excluded.strangers,"
        " delivered = queue_counters.delivered + excluded.delivered,"
        " failed = queue_counters.failed + excluded.failed RETURNING strangers, failed",
        account,
        int(now // HOUR),
        *numbers,
    )
    assert row is not None
    return int(row[0]), int(row[1])


def _trip(tx: Transaction, account: int, now: float, breaker: BreakerLimits) -> bool:
    reason = check_breaker(breaker, read_usage(tx, account, now))
    if reason is not None:
        stop_account(tx, account, now, reason)
    return reason is not None


# The stop


def stop_account(tx: Transaction, account: int, now: float, reason: str) -> None:
    """Hold all that an account sends, until a person releases or deletes it."""
    tx.run(
        "INSERT INTO queue_stops (account, at, reason, told) VALUES (?, ?, ?, 0) ON CONFLICT (account) DO NOTHING",
        account,
        now,
        reason,
    )
    tx.run("UPDATE queue_recipients SET held = 1 WHERE account = ? AND owner = ''", account)


def read_stop(tx: Transaction, account: int) -> Stop | None:
    """Why an account's mail is held, if it is."""
    row = tx.one("SELECT account, at, reason FROM queue_stops WHERE account = ?", account)
    return None if row is None else Stop(*row)


def stops(tx: Transaction) -> list[Stop]:
    """The accounts whose mail is held."""
    return [Stop(*row) for row in tx.all("SELECT account, at, reason FROM queue_stops ORDER BY at")]


def stopped_addresses(tx: Transaction) -> dict[int, str]:
    """The addresses of the accounts whose mail is held; '' of one that was removed."""
    rows = tx.all(
        "SELECT s.account, COALESCE(a.address, '') FROM queue_stops s LEFT JOIN accounts a ON a.id = s.account"
    )
    return {int(account): address for account, address in rows}


def take_untold_stops(tx: Transaction) -> list[Stop]:
    """Stops that no administrator was told of yet; they count as told now."""
    rows = tx.all("UPDATE queue_stops SET told = 1 WHERE told = 0 RETURNING account, at, reason")
    return [Stop(*row) for row in rows]


# Suppressed addresses


def suppress(tx: Transaction, suppression: Suppression) -> None:
    """Remember an address that refused an account's mail for good."""
    tx.run(
        "INSERT INTO suppressions (account, address, at, reason) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account, address) DO UPDATE SET at = excluded.at, reason = excluded.reason",
        suppression.account,
        _key(suppression.address),
        suppression.at,
        suppression.reason,
    )


def read_suppression(tx: Transaction, account: int, address: str, now: float) -> Suppression | None:
    """Why mail to this address would be in vain; None when it may be tried."""
    row = tx.one(
        "SELECT account, address, at, reason FROM suppressions WHERE account = ? AND address = ? AND at > ?",
        account,
        _key(address),
        now - SUPPRESSED_FOR,
    )
    return None if row is None else Suppression(*row)


def suppressions(tx: Transaction, account: int) -> list[Suppression]:
    """All that an account has, the latest first."""
    rows = tx.all(
        "SELECT account, address, at, reason FROM suppressions WHERE account = ? ORDER BY at DESC, address",
        account,
    )
    return [Suppression(*row) for row in rows]


def forget_suppression(tx: Transaction, account: int, address: str) -> bool:
    """Allow mail to an address again; whether it was suppressed."""
    return bool(tx.run("DELETE FROM suppressions WHERE account = ? AND address = ?", account, _key(address)))


def _key(address: str) -> str:
    """An address as it compares equal: however its domain is written, it is the same one."""
    local, at, domain = address.lower().rpartition("@")
    try:
        return f"{local}{at}{to_ascii(domain)}"
    except InvalidDomain:
        return address.lower()


def purge(tx: Transaction, now: float) -> None:
    """Forget what is too old to matter."""
    tx.run("DELETE FROM queue_counters WHERE hour <= ?", int(now // HOUR) - HISTORY)
    tx.run("DELETE FROM queue_contacts WHERE at < ?", now - CONTACT_AGE)
    tx.run("DELETE FROM suppressions WHERE at < ?", now - SUPPRESSED_FOR)
