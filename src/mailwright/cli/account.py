"""`mailwright account`."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Final

import click

from mailwright.cli.exits import Exit
from mailwright.cli.options import LARGEST, json_option, with_config
from mailwright.cli.output import confirm, counted, echo_json, fail, say, size, table

if TYPE_CHECKING:
    from mailwright.config import Config

password_options = (
    click.option("--generate", is_flag=True, help="Make a password and print it."),
    click.option(
        "--password-stdin", is_flag=True, help="Read the password from the first line of standard input."
    ),
)


class Size(click.ParamType[int]):
    """`500MB`, `5 GiB`, a number of octets, or `none`."""

    name = "size"
    _units: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if str(value) == "none":
            return 0
        found = re.fullmatch(r"(\d+)\s*([kmgt]?)i?b?", str(value).strip().lower())
        if found is None:
            self.fail(f"{value!r} is no size; write 5GiB, 500MiB, or none", param, ctx)
        octets = int(found[1]) * self._units[found[2]]
        if octets > LARGEST:
            self.fail(f"{value!r} is more than can be counted; `none` is no limit", param, ctx)
        return octets


def _line(ctx: click.Context | None, param: click.Parameter | None, text: str) -> str:
    """Text that stands in a line; a callback of click's."""
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text):
        raise click.BadParameter("it holds a control character", ctx, param)
    return text


@click.group()
def account() -> None:
    """People's mailboxes: who can log in, and receive mail."""


@account.command()
@click.argument("address")
@click.option("--name", default="", callback=_line, help="The person's name, as shown to others.")
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", help="For reports to them.")
@click.option("--quota", type=Size(), help="How much mail it may keep, as 5GiB.")
@password_options[0]
@password_options[1]
@json_option
@with_config
def add(
    config: Config,
    address: str,
    name: str,
    language: str,
    quota: int | None,
    generate: bool,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Make an account. Asks for its password, unless told otherwise.

    Example: mailwright account add alice@example.org --generate
    """
    from mailwright.cli.opening import write
    from mailwright.directory.accounts import Account, add_account, set_password
    from mailwright.directory.passwords import hash_password
    from mailwright.store.db.api import Transaction

    password = _password(generate, password_stdin)
    hashed, scram = hash_password(password)

    def add_with_password(tx: Transaction, now: int) -> Account:
        made = add_account(
            tx, address, now=now, display_name=name, language=language, quota_bytes=quota or None
        )
        set_password(tx, made.address, hashed, scram, now=now)
        return made

    made = write(config, add_with_password, int(time.time()))
    if as_json:
        echo_json({"address": made.address, "password": password if generate else None})
    else:
        say(f"Added {made.address}." + (f" Its password: {password}" if generate else ""))


@account.command(name="list")
@json_option
@with_config
def list_(config: Config, as_json: bool) -> None:
    """List the accounts and what they keep."""
    from mailwright.cli.opening import read
    from mailwright.directory.accounts import list_accounts

    found = read(config, list_accounts)
    if as_json:
        echo_json(
            [
                {
                    "address": each.address,
                    "name": each.display_name,
                    "language": each.language,
                    "disabled": bool(each.disabled),
                    "created_at": each.created_at,
                    "messages": each.messages,
                    "bytes": each.bytes,
                    "quota_bytes": each.quota_bytes,
                }
                for each in found
            ]
        )
        return
    rows = [
        [
            each.address,
            each.display_name,
            each.messages,
            size(each.bytes),
            "none" if each.quota_bytes is None else size(each.quota_bytes),
            "disabled" if each.disabled else "",
        ]
        for each in found
    ]
    table(
        ["account", "name", ">messages", ">size", ">quota", ""],
        rows,
        "No accounts: mailwright account add ADDRESS",
    )


@account.command()
@click.argument("address")
@password_options[0]
@password_options[1]
@with_config
def password(config: Config, address: str, generate: bool, password_stdin: bool) -> None:
    """Set an account's main password. App passwords stay as they are."""
    text = _set_password(config, address, "", generate, password_stdin)
    say(f"Set the password of {address}." + (f" It is: {text}" if generate else ""))


@account.group(name="app-password")
def app_password() -> None:
    """Passwords for one device or program each. They can be taken back one by one."""


@app_password.command(name="add")
@click.argument("address")
@click.argument("name", callback=_line)
@json_option
@with_config
def add_app_password(config: Config, address: str, name: str, as_json: bool) -> None:
    """Make a password for a device or program, and print it. It replaces one of the same name.

    Example: mailwright account app-password add alice@example.org phone
    """
    if not name.strip():
        fail("an app password needs a name, such as phone")
    text = _set_password(config, address, name.strip(), generate=True, password_stdin=False)
    if as_json:
        echo_json({"address": address, "name": name.strip(), "password": text})
    else:
        say(f"The password of {address} for {name.strip()}: {text}")


@app_password.command(name="list")
@click.argument("address")
@json_option
@with_config
def list_app_passwords(config: Config, address: str, as_json: bool) -> None:
    """List an account's app passwords."""
    from datetime import UTC, datetime

    from mailwright.cli.opening import read
    from mailwright.directory.accounts import list_passwords

    found = [(name, created) for name, created in read(config, list_passwords, address) if name]
    if as_json:
        echo_json([{"name": name, "created_at": created} for name, created in found])
    else:
        rows = [[name, f"{datetime.fromtimestamp(created, UTC):%Y-%m-%d}"] for name, created in found]
        table(["for", "since"], rows, f"{address} has no app passwords.")


@app_password.command(name="remove")
@click.argument("address")
@click.argument("name")
@with_config
def remove_app_password(config: Config, address: str, name: str) -> None:
    """Take an app password back."""
    from mailwright.cli.opening import write
    from mailwright.directory.accounts import remove_password

    if not name:
        fail("the main password cannot be removed; `mailwright account disable` stops all logins")
    write(config, remove_password, address, name)
    say(f"Removed the app password {name} of {address}.")


@account.command()
@click.argument("address")
@click.argument("size", type=Size())
@with_config
def quota(config: Config, address: str, size: int) -> None:
    """Limit how much mail an account may keep. `none` lifts the limit.

    Example: mailwright account quota alice@example.org 5GiB
    """
    from mailwright.cli.opening import write
    from mailwright.directory.accounts import set_quota

    write(config, set_quota, address, size or None)
    say(f"Set the quota of {address}.")


@account.command()
@click.argument("address")
@with_config
def disable(config: Config, address: str) -> None:
    """Stop an account's logins and mail; what it has stays."""
    _set_disabled(config, address, True)
    say(f"Disabled {address}. Its open sessions end.")


@account.command()
@click.argument("address")
@with_config
def enable(config: Config, address: str) -> None:
    """Let a disabled account log in and receive mail again."""
    _set_disabled(config, address, False)
    say(f"Enabled {address}.")


@account.command()
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def remove(config: Config, address: str, yes: bool) -> None:
    """Remove an account and all its mail."""
    from mailwright.cli.opening import read, write
    from mailwright.directory.accounts import find_account, remove_account

    found = read(config, find_account, address)
    if not yes:
        confirm(f"Remove {found.address} and its {counted(found.messages, 'message')} for good?")
    write(config, remove_account, address)
    say(f"Removed {found.address}.")


def _set_disabled(config: Config, address: str, disabled: bool) -> None:
    from mailwright.cli.opening import write
    from mailwright.directory.accounts import set_disabled

    write(config, set_disabled, address, disabled)


def _set_password(config: Config, address: str, name: str, generate: bool, password_stdin: bool) -> str:
    from mailwright.cli.opening import write
    from mailwright.directory.accounts import set_password
    from mailwright.directory.passwords import hash_password

    text = _password(generate, password_stdin)
    hashed, scram = hash_password(text)
    write(config, set_password, address, hashed, scram, now=int(time.time()), name=name)
    return text


def _password(generate: bool, password_stdin: bool) -> str:
    from mailwright.directory.passwords import generate_password

    if generate and password_stdin:
        raise click.UsageError("--generate makes a password, --password-stdin reads one: give one of them")
    if generate:
        return generate_password()
    if password_stdin:
        text = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        try:
            text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        except UnicodeDecodeError:
            fail("what you typed is not in UTF-8", Exit.USAGE)
    else:
        raise click.UsageError("no terminal to ask for the password: give --generate or --password-stdin")
    if not text:
        fail("the password is empty")
    return _line(None, None, str(text))


@account.command()
@click.argument("address")
@with_config
def reindex(config: Config, address: str) -> None:
    """Make an account's search index anew, while the server runs. Searches stay exact meanwhile."""
    from mailwright.cli.opening import with_store
    from mailwright.directory.accounts import find_account
    from mailwright.pdf.reader import pdf_text
    from mailwright.store import search
    from mailwright.store.indexer import Indexer
    from mailwright.store.store import Store

    async def run(store: Store) -> int:
        found = await store.read(find_account, address)
        await store.write(search.begin, found.id)
        await store.write(search.restart, found.id)
        return await Indexer(store, pdf_text).index(found.id)

    say(f"Indexed {counted(with_store(config, run), 'message')} of {address}.")
