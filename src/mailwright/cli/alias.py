"""`mailwright alias`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import echo_json, say, table

if TYPE_CHECKING:
    from mailwright.config import Config
    from mailwright.store.db.api import Transaction


@click.group()
def alias() -> None:
    """Addresses that stand for others, here or elsewhere."""


@alias.command()
@click.argument("address")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@with_config
def add(config: Config, address: str, targets: tuple[str, ...]) -> None:
    """Add targets to an alias. @DOMAIN is the catch-all, for all addresses that are not named.

    \b
    Examples:
      mailwright alias add sales@example.org alice@example.org bob@example.org
      mailwright alias add old@example.org new@elsewhere.example
      mailwright alias add @example.org alice@example.org
    """
    from mailwright.cli.opening import read, write
    from mailwright.directory.aliases import add_alias

    made = write(config, add_alias, address, list(targets), now=int(time.time()))
    say(f"{made} now stands for {', '.join(targets)}.")
    for why in read(config, _dead_ends, targets, config.delivery.separator):
        say(f"But {why}; until that changes, mail for {made} does not get there.", error=True)


def _dead_ends(tx: Transaction, targets: tuple[str, ...], separator: str) -> list[str]:
    """Why mail for those of the targets that are ours reaches nobody."""
    from mailwright.directory.errors import AccountDisabled, AliasLoop, NoSuchUser, NotLocal
    from mailwright.directory.resolve import resolve

    found = []
    for target in targets:
        try:
            resolve(tx, target, separator)
        except NotLocal:
            pass  # its own server knows
        except (NoSuchUser, AccountDisabled, AliasLoop) as error:
            found.append(str(error))
    return found


@alias.command(name="list")
@json_option
@with_config
def list_(config: Config, as_json: bool) -> None:
    """List the aliases."""
    from mailwright.cli.opening import read
    from mailwright.directory.aliases import list_aliases

    found = read(config, list_aliases)
    if as_json:
        echo_json(found)
    else:
        rows = [[address, ", ".join(targets)] for address, targets in found.items()]
        table(["alias", "targets"], rows, "No aliases.")


@alias.command()
@click.argument("address")
@click.argument("target", required=False)
@with_config
def remove(config: Config, address: str, target: str | None) -> None:
    """Remove an alias, or one of its targets."""
    from mailwright.cli.opening import write
    from mailwright.directory.aliases import remove_alias

    write(config, remove_alias, address, target)
    say(f"Removed {address}" + (f" -> {target}." if target else "."))
