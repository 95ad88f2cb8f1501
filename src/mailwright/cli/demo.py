"""`mailwright demo`."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mailwright.cli.options import json_option
from mailwright.cli.output import echo_json, fail

if TYPE_CHECKING:
    from mailwright.app.server import App
    from mailwright.config import Config

HOST: Final = "127.0.0.1"
DOMAIN: Final = "demo.test"
PEOPLE: Final = ("alice", "bob")
PORTS: Final = {
    "smtp": 1025,
    "submission": 1587,
    "submissions": 1465,
    "imap": 1143,
    "imaps": 1993,
    "pop3": 1110,
    "pop3s": 1995,
    "lmtp": 1024,
}


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-data"),
    show_default=True,
    metavar="DIR",
    help="The folder that keeps mail and passwords between runs.",
)
@click.option(
    "--base-port",
    type=click.IntRange(1, 65_536 - len(PORTS)),
    metavar="N",
    help=f"Use the ports from N to N+{len(PORTS) - 1}, in the order of the JSON output.",
)
@click.option(
    "--smarthost",
    metavar="HOST:PORT",
    help="Send mail for other domains there, without TLS. Without this it waits in the queue.",
)
@json_option
def demo(data: Path, base_port: int | None, smarthost: str | None, as_json: bool) -> None:
    """Try it: a server on loopback, with a certificate it makes and two accounts.

    Mail and passwords stay in the data folder. Ctrl-C stops it. Passwords are taken without TLS here, as many
    test tools need; a real server (see `mailwright init`) never does unless it is told to.

    With --json it prints one line when it is ready: smtp, submission, submissions, imap, imaps, pop3, pop3s and
    lmtp as host:port, accounts with address and password, and pid.
    """
    from mailwright.cli.running import AlreadyRunning, run_server, set_up_log
    from mailwright.net.errors import CannotListen

    data = data.absolute()
    ports = PORTS if base_port is None else {name: base_port + n for n, name in enumerate(PORTS)}
    config = demo_config(data, ports, smarthost)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    set_up_log(config.log)
    file = data / "demo.json"
    anew = not file.exists()
    accounts = _passwords(file)

    async def ready(app: App) -> None:
        await _ensure_accounts(app, accounts, anew)
        services = {name: f"{HOST}:{port}" for name, port in ports.items()}
        if as_json:
            people = [{"address": address, "password": password} for address, password in accounts.items()]
            echo_json({**services, "accounts": people, "pid": os.getpid()})
        else:
            from mailwright.cli.welcome import welcome

            welcome(ports, accounts, data)

    try:
        run_server(config, ready)
    except AlreadyRunning as error:
        fail(str(error))
    except CannotListen as error:
        fail(f"{error}; --base-port N takes others")
    if not as_json:
        click.echo(f"\nStopped. The mail is in {data}.")


def demo_config(data: Path, ports: dict[str, int], smarthost: str | None) -> Config:
    """The demo's settings: all on loopback, and no limits on rates there."""
    import dataclasses

    from mailwright.config import Address, Auth, Config, Listener, Listeners, Log, Queue, Route, Server

    host, _, port = (smarthost or "").rpartition(":")
    if smarthost and not (host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise click.BadParameter("must be HOST:PORT", param_hint="--smarthost")
    no_limit = 10**9
    return dataclasses.replace(
        Config(),
        server=Server(hostname="localhost", data=data),
        listeners=Listeners(**{name: Listener((Address(HOST, number),)) for name, number in ports.items()}),
        auth=Auth(allow_plaintext_without_tls=True),
        queue=Queue(
            deliver=bool(smarthost),
            routes=(Route("smarthost", hosts=(host,), port=int(port), tls="none"),) if smarthost else (),
            messages_per_hour=0,
            messages_per_day=0,
            recipients_per_hour=0,
            recipients_per_day=0,
            strangers_per_hour=0,
            failures_per_hour=0,
        ),
        limits=dataclasses.replace(
            Config().limits,
            connections_per_address=no_limit,
            smtp_commands=no_limit,
            smtp_transactions=no_limit,
            login_failures=no_limit,
        ),
        log=Log(level="warning"),
    )


def _passwords(file: Path) -> dict[str, str]:
    """The accounts' passwords, kept so that mail clients need to be set up only once."""
    known: object = None
    people = [f"{person}@{DOMAIN}" for person in PEOPLE]
    try:
        known = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        from mailwright.directory.passwords import generate_password

        known = {address: generate_password() for address in people}
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            json.dump(known, new)
    except ValueError:
        pass
    if (
        not isinstance(known, dict)
        or list(known) != people
        or {type(word) for word in known.values()} != {str}
    ):
        fail(f"{file} is damaged, and the passwords with it; remove it: others are made, and the mail stays")
    return known


async def _ensure_accounts(app: App, accounts: dict[str, str], anew: bool) -> None:
    """Have the accounts with these passwords; `anew` tells that accounts which are there have others."""
    from mailwright.directory.accounts import add_account, list_accounts, set_password
    from mailwright.directory.domains import add_domain
    from mailwright.directory.passwords import hash_password
    from mailwright.store.db.api import Transaction

    known = {account.address for account in await app.store.read(list_accounts)}
    if known and known.isdisjoint(accounts):
        raise click.BadParameter(
            "it holds the mail of a real server; name another folder", param_hint="--data"
        )
    if known and not anew:
        return
    hashes = await asyncio.gather(*(asyncio.to_thread(hash_password, word) for word in accounts.values()))

    def add(tx: Transaction, now: int) -> None:
        if not known:
            add_domain(tx, DOMAIN, now=now)
        for address, (hashed, scram) in zip(accounts, hashes, strict=True):
            if address not in known:
                name = address.partition("@")[0].capitalize()
                add_account(tx, address, now=now, display_name=name)
            set_password(tx, address, hashed, scram, now=now)

    await app.store.write(add, int(app.clock.now()))
