"""`mailwright alias`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import echo_json, say, table

if TYPE_CHECKING:
    from mailwright.config import Config


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
    from mailwright.cli.opening import write
    from mailwright.directory.aliases import add_alias

    made = write(config, add_alias, address, list(targets), now=int(time.time()))
    say(f"{made} now stands for {', '.join(targets)}.")


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
