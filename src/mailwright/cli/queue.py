"""`mailwright queue`."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from mailwright.cli.exits import Exit
from mailwright.cli.options import Number, json_option, with_config
from mailwright.cli.output import confirm, counted, echo_json, fail, say, size, table, tell

if TYPE_CHECKING:
    from mailwright.config import Config
    from mailwright.queue.operations import Selection, Standing
    from mailwright.store.db.api import Transaction
    from mailwright.store.store import Store

_MOST: Final = 100  # lines of `counts`
_LOOK: Final = 0.5  # seconds between looks at what is followed


@click.group()
def queue() -> None:
    """Mail on its way out: look at it, hold it, let it go, try it again, send it another way, give it up."""


def selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that pick recipients; the command gets a `Selection`."""

    @click.option("--id", "id_", type=Number(), metavar="ID", help="Of this message.")
    @click.option("--sender", metavar="ADDRESS", help="From this sender; @DOMAIN for a whole domain.")
    @click.option("--recipient", metavar="ADDRESS", help="To this recipient; @DOMAIN for a whole domain.")
    @click.option("--destination", metavar="DOMAIN", help="To this destination, as `queue counts` shows it.")
    @functools.wraps(command)
    def run(
        id_: int | None, sender: str | None, recipient: str | None, destination: str | None, **options: Any
    ) -> Any:
        from mailwright.queue.operations import Selection

        picked = Selection(id=id_, sender=sender, recipient=recipient, destination=destination)
        return command(picked=picked, **options)

    return run


class Changed(NamedTuple):
    """What a command did to how many recipients, and what is queued now of those that were meant."""

    done: str
    recipients: int
    left: Standing
    remark: str = ""


def change(command: Callable[..., Changed]) -> Callable[..., Any]:
    """As `selection`, but all of the queue is meant only with --all."""

    @click.option("--all", "everything", is_flag=True, help="All that is queued.")
    @selection
    @json_option
    @functools.wraps(command)
    def run(everything: bool, picked: Selection, as_json: bool, **options: Any) -> None:
        if not everything and _is_all(picked):
            raise click.UsageError("which ones? Give --id, --sender, --recipient or --destination; or --all")
        changed = command(picked=picked, **options)
        if picked.id is not None and not changed.recipients and not changed.left.queued:
            fail(f"nothing that is queued matches --id {picked.id}; `mailwright queue list` shows what waits")
        if as_json:
            echo_json({"recipients": changed.recipients})
        else:
            click.echo(f"{changed.done} {counted(changed.recipients, 'recipient')}.")
        _remark(changed, everything=everything)

    return run


def _remark(changed: Changed, *, everything: bool) -> None:
    """Say why less was done than one may expect."""
    left = changed.left
    if left.active:
        what = f"{counted(left.active, 'recipient')} {'is' if left.active == 1 else 'are'} on the way at this moment"
        say(f"{what}, and left alone; try again when the attempt is over", error=True)
    if left.held and changed.done == _DUE:
        what = f"{counted(left.held, 'recipient')} {'is' if left.held == 1 else 'are'} held"
        say(f"{what}; `mailwright queue release` lets them go", error=True)
    if changed.remark:
        say(changed.remark, error=True)
    elif not (changed.recipients or left.queued or everything):
        say("nothing that is queued matches; `mailwright queue list` shows what waits", error=True)


_DUE: Final = "Due now:"


@queue.command(name="list")
@selection
@click.option("--limit", type=Number(), default=100, show_default=True, metavar="N", help="At most so many.")
@json_option
@with_config
def list_(config: Config, picked: Selection, limit: int, as_json: bool) -> None:
    """List queued recipients, with the reason why they wait. Times are in UTC."""
    from mailwright.cli.opening import read
    from mailwright.queue.operations import entries, standing

    found = read(config, entries, picked, limit)
    if len(found) == limit and (more := read(config, standing, picked).queued - limit) > 0:
        say(f"{counted(more, 'recipient')} more; `--limit N` lists up to N", error=True)
    if as_json:
        echo_json([dataclasses.asdict(entry) for entry in found])
        return
    rows = [
        [
            entry.id,
            _clock(entry.received_at),
            entry.reverse_path or "<>",
            entry.address,
            size(entry.size),
            entry.attempts,
            "now" if entry.active else "held" if entry.held else _clock(entry.next_attempt_at),
            entry.last_reply,
        ]
        for entry in found
    ]
    columns = [">id", "since", "from", "to", ">size", ">tries", "next", "last reply"]
    table(columns, rows, _nothing(picked))


@queue.command()
@click.argument("number", metavar="ID", type=Number())
@click.option("--lines", is_flag=True, help="Show the SMTP lines of each attempt as well.")
@json_option
@with_config
def follow(config: Config, number: int, lines: bool, as_json: bool) -> None:
    """Tell what becomes of a message as it happens.

    It ends when nothing of the message waits any more; Ctrl-C leaves off. ID is its queue id.
    With --json each event is a line.
    """
    from mailwright.cli.opening import with_store
    from mailwright.queue import trace

    async def run(store: Store) -> trace.Record | None:
        told = 0
        while (record := await store.read(trace.read, number)) is not None:
            for event in record.events[told:]:
                if as_json:
                    echo_json(trace.event_to_json(event))
                else:
                    tell(trace.tell_event(event, lines=lines))
            told = len(record.events)
            if not record.waiting:
                break
            await asyncio.sleep(_LOOK)
        return record

    record = with_store(config, run)
    if record is None:
        fail(f"no message {number} is known; `mailwright queue list` shows those that wait")
    if not as_json:
        click.echo(trace.tell_waiting(record))


@queue.command()
@selection
@json_option
@with_config
def counts(config: Config, picked: Selection, as_json: bool) -> None:
    """Count the queue by destination and reason, the largest first."""
    from mailwright.cli.opening import read
    from mailwright.queue import operations

    found = read(config, operations.counts, picked, _MOST + 1)
    if len(found) > _MOST:
        say(f"only the {_MOST} largest; `--sender` and the like count a part of the queue", error=True)
        found = found[:_MOST]
    if as_json:
        echo_json([dataclasses.asdict(count) for count in found])
        return
    rows = [
        [
            count.destination,
            count.recipients,
            count.held or "",
            _clock(count.oldest),
            count.reason or "not tried yet",
        ]
        for count in found
    ]
    table(["destination", ">recipients", ">held", "oldest", "last reply"], rows, _nothing(picked))


@queue.command()
@change
@with_config
def hold(config: Config, picked: Selection) -> Changed:
    """Keep mail in the queue without trying it. `release` lets it go."""
    from mailwright.queue import operations

    return _repeat(config, "Held", operations.hold, picked)


@queue.command()
@change
@with_config
def release(config: Config, picked: Selection) -> Changed:
    """Let go what was held. A running server does so within a second."""
    from mailwright.cli.opening import read
    from mailwright.queue import operations, usage

    before = read(config, usage.stopped_addresses)
    changed = _repeat(config, "Released", operations.release, picked)
    after = read(config, usage.stopped_addresses) if before else {}
    free = ", ".join(address for account, address in before.items() if address and account not in after)
    return changed._replace(remark=f"{free} may send again") if free else changed


@queue.command()
@change
@with_config
def retry(config: Config, picked: Selection) -> Changed:
    """Try now instead of later. A running server does so within a second."""
    from mailwright.queue import operations

    return _repeat(config, _DUE, operations.retry, picked)


@queue.command()
@change
@click.option(
    "--to",
    default="",
    metavar="DOMAIN",
    help="A domain, or @NAME of a route. Default: as the routes say now.",
)
@with_config
def reroute(config: Config, picked: Selection, to: str) -> Changed:
    """Send mail another way than was decided when it was queued."""
    from mailwright.app.outbound import queue_rules
    from mailwright.queue import operations

    rules = queue_rules(config)
    if to and not rules.router.knows(to):
        names = ", ".join(f"@{route.name}" for route in config.queue.routes) or "none"
        fail(f"{to} is neither a domain nor a route; the routes are: {names}", Exit.USAGE)

    async def run(store: Store) -> int:
        return await store.write(operations.reroute, picked, time.time(), rules, to)

    return _change(config, "Rerouted", picked, run)


@queue.command()
@change
@with_config
def expire(config: Config, picked: Selection) -> Changed:
    """Give up now; the senders get the reports that are due."""
    from mailwright.app.outbound import make_reports, queue_rules
    from mailwright.base.clock import SystemClock
    from mailwright.cli.domain import hostname
    from mailwright.delivery.signing import KeyRing
    from mailwright.queue import operations

    rules = queue_rules(config)
    keys = KeyRing(config.dkim_directory, config.dkim.selectors, enabled=config.dkim.enabled)
    report = make_reports(config, keys, rules, SystemClock(), hostname(config))

    async def run(store: Store) -> int:
        total = 0
        meant = dataclasses.replace(picked, newest=await store.read(operations.newest))
        while done := await store.write(operations.expire, meant, time.time(), rules, report):
            total += done
        return total

    return _change(config, "Expired", picked, run)


@queue.command()
@change
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def delete(config: Config, picked: Selection, yes: bool) -> Changed:
    """Take mail out of the queue without a word to anybody."""
    from mailwright.queue import operations

    if not yes:
        confirm("Delete it? Nobody will be told.")
    return _repeat(config, "Deleted", operations.delete, picked)


@queue.command()
@click.argument("account")
@json_option
@with_config
def suppressed(config: Config, account: str, as_json: bool) -> None:
    """List the addresses that refused an account's mail. As they did so for good, mail to them is refused at once."""
    from mailwright.cli.opening import read
    from mailwright.directory.accounts import find_account
    from mailwright.queue import usage

    def find(tx: Transaction) -> list[usage.Suppression]:
        return usage.suppressions(tx, find_account(tx, account).id)

    found = read(config, find)
    if as_json:
        echo_json([{"address": one.address, "at": one.at, "reason": one.reason} for one in found])
        return
    rows = [[one.address, _clock(one.at), one.reason] for one in found]
    table(["address", "since", "reason"], rows, f"{account} has no suppressed addresses.")


@queue.command()
@click.argument("account")
@click.argument("address")
@json_option
@with_config
def unsuppress(config: Config, account: str, address: str, as_json: bool) -> None:
    """Let an account write again to an address that refused it."""
    from mailwright.cli.opening import write
    from mailwright.directory.accounts import find_account
    from mailwright.queue import usage

    def forget(tx: Transaction) -> bool:
        return bool(usage.forget_suppression(tx, find_account(tx, account).id, address))

    if not write(config, forget):
        fail(
            f"{address} is not suppressed for {account}; `mailwright queue suppressed {account}` lists those that are"
        )
    if as_json:
        echo_json({"account": account, "address": address})
    else:
        say(f"{account} may write to {address} again.")


@queue.command()
@json_option
@with_config
def stopped(config: Config, as_json: bool) -> None:
    """List the accounts whose mail is held. They sent more than is usual; `release` lets them go on."""
    from mailwright.cli.opening import read
    from mailwright.queue import usage

    def find(tx: Transaction) -> list[tuple[str, float, str]]:
        addresses = usage.stopped_addresses(tx)
        return [
            (addresses[stop.account] or f"number {stop.account}, removed", stop.at, stop.reason)
            for stop in usage.stops(tx)
        ]

    found = read(config, find)
    if as_json:
        echo_json([{"account": account, "at": at, "reason": reason} for account, at, reason in found])
        return
    rows = [[account, _clock(at), reason] for account, at, reason in found]
    table(["account", "since", "reason"], rows, "No account is stopped.")


def _repeat(config: Config, done: str, operation: Callable[..., int], picked: Selection) -> Changed:
    """Run an operation that does a bounded part, until it is done."""
    from mailwright.queue.operations import BATCH

    async def run(store: Store) -> int:
        def part(tx: Transaction) -> int:
            return operation(tx, picked, time.time())

        total = done = await store.write(part)
        while done >= BATCH:
            done = await store.write(part)
            total += done
        return total

    return _change(config, done, picked, run)


def _change(config: Config, done: str, picked: Selection, job: Callable[[Store], Awaitable[int]]) -> Changed:
    from mailwright.cli.opening import with_store
    from mailwright.queue.operations import standing

    async def run(store: Store) -> Changed:
        count = await job(store)
        return Changed(done, count, await store.read(standing, picked))

    return with_store(config, run)


def _is_all(picked: Selection) -> bool:
    return all(value is None for value in dataclasses.asdict(picked).values())


def _nothing(picked: Selection) -> str:
    return "Nothing is queued." if _is_all(picked) else "Nothing that is queued matches."


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
