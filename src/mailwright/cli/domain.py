"""`mailwright domain`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import echo_json, say, table

if TYPE_CHECKING:
    from mailwright.cli.records import Record
    from mailwright.config import Config


@click.group()
def domain() -> None:
    """The domains whose mail this server takes."""


@domain.command()
@click.argument("name")
@json_option
@with_config
def add(config: Config, name: str, as_json: bool) -> None:
    """Take mail for a domain. Makes its DKIM keys and prints the DNS records to publish.

    Example: mailwright domain add example.org
    """
    _print(add_domain(config, name), as_json)


@domain.command(name="list")
@json_option
@with_config
def list_(config: Config, as_json: bool) -> None:
    """List the domains."""
    from mailwright.cli.opening import read
    from mailwright.directory.domains import list_domains

    names = read(config, list_domains)
    if as_json:
        echo_json(names)
    else:
        table(["domain"], [[name] for name in names], "No domains yet: mailwright domain add NAME")


@domain.command()
@click.argument("name")
@json_option
@with_config
def dns(config: Config, name: str, as_json: bool) -> None:
    """Print the DNS records to publish for a domain."""
    from mailwright.base.domain import to_ascii
    from mailwright.cli.output import fail
    from mailwright.cli.records import records

    names = _names(config)
    if to_ascii(name) not in names:
        fail(f"{name} is not a domain of this server; it has {', '.join(names) or 'none'}")
    _print(records(to_ascii(name), hostname(config), config.dkim_directory), as_json)


@domain.command()
@click.argument("name")
@with_config
def remove(config: Config, name: str) -> None:
    """Give up a domain; its accounts and aliases must be removed first. Its DKIM keys stay in their folder."""
    from mailwright.cli.opening import write
    from mailwright.directory.domains import remove_domain

    write(config, remove_domain, name)
    say(f"Removed {name}.")


def add_domain(config: Config, name: str, exist_ok: bool = False) -> list[Record]:
    """Make a domain ours, with DKIM keys; the records to publish.

    Raises InvalidDomain, InvalidKey, OSError, DirectoryError, AlreadyExists.
    """
    from mailwright.base.domain import to_ascii
    from mailwright.cli.opening import write
    from mailwright.cli.records import records
    from mailwright.directory import domains
    from mailwright.directory.errors import AlreadyExists

    name = to_ascii(name)
    config.server.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    published = records(
        name, hostname(config), config.dkim_directory
    )  # first: where they fail nothing is ours
    try:
        write(config, domains.add_domain, name, now=int(time.time()))
    except AlreadyExists:
        if not exist_ok:
            raise
    return published


def hostname(config: Config) -> str:
    """The server's name: as configured, else the machine's."""
    import socket

    return config.server.hostname or socket.getfqdn()


def _names(config: Config) -> list[str]:
    from mailwright.cli.opening import read
    from mailwright.directory.domains import list_domains

    return read(config, list_domains)


def _print(published: list[Record], as_json: bool) -> None:
    if as_json:
        echo_json([record._asdict() for record in published])
        return
    click.echo("Publish these DNS records:\n")
    for record in published:
        click.echo(record.to_zone())
