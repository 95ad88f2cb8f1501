"""What the demo says when it is ready: accounts, commands to paste, settings for mail clients."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mailwright import __version__


def welcome(ports: dict[str, int], accounts: dict[str, str], data: Path) -> None:
    """Print it. Commands are printed whole, however narrow the terminal, so that they can be pasted."""
    console = Console(highlight=False, soft_wrap=True)
    console.print()
    console.print(
        Panel.fit(
            Group(
                Text(f"Mailwright {__version__} is ready", "bold green"),
                Text(""),
                _accounts(accounts),
                _settings(ports),
            ),
            padding=(1, 3),
        ),
        soft_wrap=False,
    )
    certificate = data / "certificate.pem"
    for title, command in _commands(ports, list(accounts.items()), certificate):
        console.print(Text(title, "bold"))
        console.print(Text(f"  {command}\n", "cyan"))
    console.print(Text(f"The certificate is self-made: {certificate}", "dim"))
    console.print(Text(f"All data stays in {data}. Ctrl-C stops the server.", "dim"))


def _accounts(accounts: dict[str, str]) -> Table:
    sheet = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    sheet.add_column("account", overflow="fold")
    sheet.add_column("password", overflow="fold")
    for address, password in accounts.items():
        sheet.add_row(address, password)
    return sheet


def _settings(ports: dict[str, int]) -> Table:
    sheet = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("mail client", "server", "port", "security"):
        sheet.add_column(column, overflow="fold")
    for name, service, security in (
        ("read, IMAP", "imaps", "SSL/TLS"),
        ("", "imap", "STARTTLS, or none"),
        ("read, POP3", "pop3s", "SSL/TLS"),
        ("", "pop3", "STARTTLS, or none"),
        ("send, SMTP", "submissions", "SSL/TLS"),
        ("", "submission", "STARTTLS, or none"),
        ("from other servers", "smtp", "no login; for demo.test only"),
        ("", "lmtp", "LMTP, no login"),
    ):
        sheet.add_row(name, "127.0.0.1", str(ports[service]), security)
    return sheet


def _commands(
    ports: dict[str, int], accounts: list[tuple[str, str]], certificate: Path
) -> list[tuple[str, str]]:
    (alice, alice_password), (bob, bob_password) = accounts[:2]
    message = f"From: {alice}\\nTo: {bob}\\nSubject: Hello\\n\\nIt works.\\n"
    envelope = f"--mail-from {alice} --mail-rcpt {bob}"
    tls = f"--ssl-reqd --cacert {shlex.quote(str(certificate))}"
    return [
        (
            "Send with curl",
            f"printf '{message}' | curl -sS smtp://127.0.0.1:{ports['submission']} {tls} "
            f"-u '{alice}:{alice_password}' {envelope} --crlf -T -",
        ),
        (
            "Send with swaks",
            f"swaks --server 127.0.0.1:{ports['submission']} --tls --auth-user {alice} "
            f"--auth-password '{alice_password}' --from {alice} --to {bob}",
        ),
        (
            "Read with curl",
            f"curl -sS {tls} -u '{bob}:{bob_password}' 'imaps://127.0.0.1:{ports['imaps']}/INBOX;MAILINDEX=*'",
        ),
    ]
