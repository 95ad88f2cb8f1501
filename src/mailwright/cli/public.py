"""`mailwright public`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import echo_json, table

if TYPE_CHECKING:
    from mailwright.config import Config

EVERYTHING = "lrswipkxtea"


@click.group()
def public() -> None:
    """Public folders: who may make them.

    They are below `Public` in a mail program, for all whom the rights let see them. Whoever made one can give rights
    on it, with a program that knows ACL.
    """


@public.command()
@click.argument("who")
@click.argument("rights", default=EVERYTHING)
@with_config
def grant(config: Config, who: str, rights: str) -> None:
    """Let an address, or `anyone`, make public folders.

    RIGHTS are what they may do with those they make, in letters of RFC 4314: l sees, r reads, s marks as read,
    w changes flags, i and p put in, k makes folders, x deletes them, t and e delete messages, a grants. "" takes all
    of them away.

    \b
    Examples:
      mailwright public grant alice@example.org
      mailwright public grant anyone lrs
      mailwright public grant alice@example.org ""
    """
    from mailwright.cli.opening import write
    from mailwright.store.acl import RIGHTS, grant_public

    if strange := "".join(right for right in rights if right not in RIGHTS):
        raise click.BadParameter(f"{strange!r} is no right; use the letters {RIGHTS}", param_hint="RIGHTS")
    write(config, grant_public, who, rights, now=int(time.time()))
    click.echo(
        f"{who} may make no public folders." if not rights else f"{who} has {rights} on new public folders."
    )


@public.command(name="list")
@json_option
@with_config
def list_(config: Config, as_json: bool) -> None:
    """List who may make public folders."""
    from mailwright.cli.opening import read
    from mailwright.store.acl import public_grants

    found = {grant.identifier: grant.rights for grant in read(config, public_grants)}
    if as_json:
        echo_json(found)
    else:
        table(["who", "rights"], [[who, rights] for who, rights in found.items()], "Nobody yet.")
