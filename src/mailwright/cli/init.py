"""`mailwright init`."""

from __future__ import annotations

import json
import shlex
import socket
from pathlib import Path

import click

from mailwright.cli.options import DEFAULT_CONFIG, json_option
from mailwright.cli.output import answered, echo_json, fail, say

TEMPLATE = """\
# Mailwright. All settings: docs/configuration.md; the ones that are not here have good defaults.
# After a change: mailwright doctor, then restart.

[server]
hostname = "{hostname}"
data = {data}

# A certificate that other servers and mail clients trust. Without it a self-signed one is made.
#[tls]
#certificate = "/etc/letsencrypt/live/{hostname}/fullchain.pem"
#key = "/etc/letsencrypt/live/{hostname}/privkey.pem"

# PostgreSQL, when one machine is not enough.
#[store]
#database = "postgresql://mailwright@db.example.org/mailwright"

# Send all outbound mail through another server.
#[[queue.routes]]
#name = "smarthost"
#hosts = ["smtp.example.net"]
#implicit_tls = true
#tls = "verify"
#username = "me"
#password_file = "smarthost.password"
"""


@click.command()
@click.option("--hostname", metavar="NAME", help="This server's name in DNS, such as mail.example.org.")
@click.option("--domain", metavar="NAME", help="The first mail domain, such as example.org.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("/var/lib/mailwright"),
    show_default=True,
    metavar="DIR",
    help="The folder for mail, certificates and keys.",
)
@click.option(
    "--config",
    "-c",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="MAILWRIGHT_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    metavar="FILE",
    help="The configuration file to write (or MAILWRIGHT_CONFIG).",
)
@click.option("--force", is_flag=True, help="Replace a configuration that is there.")
@json_option
def init(
    hostname: str | None, domain: str | None, data: Path, config_path: Path, force: bool, as_json: bool
) -> None:
    """Set up a real installation.

    Writes the configuration, makes the data folder, the domain and its DKIM keys, and prints the DNS records
    to publish. Asks for what is not given. Nothing listens yet: `mailwright serve` does.

    Example: mailwright init --hostname mail.example.org --domain example.org
    """
    from mailwright.base.domain import InvalidDomain, to_ascii
    from mailwright.cli.domain import add_domain
    from mailwright.config import parse

    if config_path.exists() and not force:
        fail(f"{config_path} is there already; give another --config, or --force to replace it")
    hostname = hostname or _ask("This server's name in DNS", socket.getfqdn(), "--hostname")
    domain = domain or _ask("The first mail domain", hostname.partition(".")[2] or hostname, "--domain")
    try:
        hostname, domain = to_ascii(hostname), to_ascii(domain)
    except InvalidDomain as error:
        fail(f"{error}; write a name such as mail.example.org")
    data = data.absolute()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = TEMPLATE.format(hostname=hostname, data=_toml(data))
    published = add_domain(parse(text), domain, exist_ok=True)
    # Last, and whole or not at all: what failed before can be run again, without --force.
    config_path.parent.mkdir(parents=True, exist_ok=True)
    new = config_path.resolve().with_name(f"{config_path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(config_path.resolve())
    if as_json:
        echo_json(
            {
                "config": str(config_path),
                "data": str(data),
                "hostname": hostname,
                "domain": domain,
                "records": [record._asdict() for record in published],
            }
        )
        return
    click.echo(f"Wrote {config_path}; mail will live in {data}.\n\nPublish these DNS records:\n")
    for record in published:
        click.echo(record.to_zone())
    given = "" if config_path == DEFAULT_CONFIG else f" --config {shlex.quote(str(config_path))}"
    say(
        f"\n... an A (and AAAA) record for {hostname}, and ask your provider that its addresses resolve back to it."
        f"\n\nNext:\n  mailwright account add you@{domain}{given}\n  mailwright doctor{given}"
        f"\n  mailwright serve{given}"
    )


def _toml(path: Path) -> str:
    """A basic string of TOML: JSON writes the same escapes, but for DEL."""
    return json.dumps(str(path), ensure_ascii=False).replace("\x7f", "\\u007f")


def _ask(question: str, default: str, option: str) -> str:
    return str(answered(lambda: click.prompt(question, default=default, err=True), option))
