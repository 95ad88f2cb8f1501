"""Every setting: its name, type, default and meaning. The reference page is generated from these classes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from mailwright.base.limits import Limits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Address(NamedTuple):
    """Where a listener waits or a server is reached; written `host:port`, `[::1]:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def setting(default: object, text: str, unit: Literal["", "octets", "seconds"] = "") -> Any:
    """A field with its meaning; `unit` lets the file say "50 MB" or "4h" where a number stands."""
    return field(default=default, metadata={"text": text, "unit": unit})


@dataclass(frozen=True)
class Server:
    """Who we are, and where our data lives."""

    hostname: str = setting("", "Our name in greetings and trace headers. Empty: the machine's full name.")
    data: Path = setting(Path("/var/lib/mailwright"), "The folder of the store, certificates and DKIM keys.")
    public_addresses: tuple[str, ...] = setting(
        (), "Our addresses as others see them, where a router translates them; the machine's own are known."
    )
    postmaster: str = setting(
        "", "Who is told when something needs a person. Empty: postmaster@ the first domain."
    )


@dataclass(frozen=True)
class Listener:
    """One service: no addresses, no service."""

    addresses: tuple[Address, ...] = setting((), 'Where to listen: `"host:port"`, `"[::]:port"`. Empty: off.')
    proxy_networks: tuple[Network, ...] = setting(
        (), "The load balancers that must begin each connection with a PROXY v1 or v2 header."
    )


def _listener(port: int) -> Any:
    return field(default=Listener((Address("0.0.0.0", port), Address("::", port))))  # noqa: S104


@dataclass(frozen=True)
class Listeners:
    """Where each service listens."""

    smtp: Listener = _listener(25)
    submission: Listener = _listener(587)
    submissions: Listener = _listener(465)
    imap: Listener = _listener(143)
    imaps: Listener = _listener(993)
    pop3: Listener = _listener(110)
    pop3s: Listener = _listener(995)
    lmtp: Listener = Listener()


@dataclass(frozen=True)
class TLS:
    """The certificate we show."""

    certificate: Path | None = setting(
        None,
        "PEM file with the chain, leaf first. Unset: a self-signed one is made in the data folder.",
    )
    key: Path | None = setting(None, "PEM file with the private key; read again when it changes.")


@dataclass(frozen=True)
class Store:
    """Where mail is kept."""

    database: str = setting(
        "",
        'Empty: `mail.sqlite` in the data folder. Else the path of an SQLite file, or `"postgresql://..."`: a database'
        " with the encoding UTF8, of the server itself, as a pooler that shares connections between transactions"
        " passes on no notifications.",
    )
    blobs: str = setting(
        "database",
        '`"database"`, or the path of a folder for the message bodies. To be chosen before mail comes.',
    )


@dataclass(frozen=True)
class Auth:
    """How people log in."""

    allow_plaintext_without_tls: bool = setting(
        False, "Accept passwords over a connection without TLS from `plaintext_networks`. For tests only."
    )
    plaintext_networks: tuple[Network, ...] = setting(
        LOOPBACK, "The only networks the setting above speaks of."
    )


@dataclass(frozen=True)
class Delivery:
    """How a recipient's address finds a mailbox."""

    separator: str = setting("+", "What parts `user+tag@`; the tag is ignored for delivery. Empty: no tags.")
    received_limit: int = setting(100, "More Received fields than this are a loop (RFC 5321 6.3).")
    keep_receptions: int = setting(
        500_000, "Accepted messages that `mailwright trace` remembers, at about 400 octets each."
    )
    keep_refusals: int = setting(100_000, "Refused messages, senders and recipients that it remembers.")


@dataclass(frozen=True)
class Hooks:
    """Python code of yours that has a say in mail: see hooks.md."""

    modules: tuple[str, ...] = setting((), "The modules, asked in this order.")
    directory: Path | None = setting(None, "The folder they are in. Unset: they are installed packages.")


@dataclass(frozen=True)
class Route:
    """Mail that goes another way, or with other rules, than MX says. The first route that fits is taken."""

    name: str = setting("", "What the log and `mailwright queue` call it. Required.")
    domains: tuple[str, ...] = setting(
        ("*",), 'Only for recipients in `"example.org"`, below it (`".example.org"`), or anywhere (`"*"`).'
    )
    senders: tuple[str, ...] = setting((), 'Only for senders `"user@domain"` or `"@domain"`. Empty: all.')
    hosts: tuple[str, ...] = setting(
        (),
        'Servers to hand the mail to, in order; `"[mx:name]"` for the MX of a name. Empty: those of the domain.',
    )
    port: int = setting(0, "Their port. 0: 25, 24 for LMTP, 465 with implicit TLS.")
    protocol: Literal["smtp", "lmtp"] = setting("smtp", "How to speak with them.")
    tls: Literal["none", "may", "encrypt", "verify"] = setting(
        "may", "`may` is opportunistic and obeys MTA-STS and DANE, `verify` asks for a valid certificate."
    )
    implicit_tls: bool = setting(False, "TLS from the start, as on port 465.")
    username: str = setting("", "The account we log in with. Empty: no login.")
    password: str = setting("", "Its password.")
    password_file: Path | None = setting(None, "A file that holds the password on its first line.")
    sources: tuple[str, ...] = setting((), "Local addresses to send from, of both families, used in turn.")
    proxy: str = setting("", '`"socks5://[user:password@]host:port"` to go through a proxy.')
    helo: str = setting("", "What we call ourselves there. Empty: the server's hostname.")


@dataclass(frozen=True)
class Queue:
    """Mail on its way out."""

    deliver: bool = setting(True, "Send what is queued; false: all of it waits.")
    retries: tuple[float, ...] = setting(
        (300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 10_800.0, 14_400.0),
        "Waits after each failed attempt (RFC 5321 4.5.4.1); the last is repeated.",
        "seconds",
    )
    jitter: float = setting(0.2, "The share by which each wait varies, both ways.")
    warning_after: float = setting(14_400.0, "When the sender is told of a delay; 0: never.", "seconds")
    expire_after: float = setting(432_000.0, "When we give up (RFC 5321 4.5.4.1: 4 to 5 days).", "seconds")
    connections: int = setting(200, "Outbound connections in all.")
    connections_per_destination: int = setting(20, "Outbound connections to one destination.")
    messages_per_account: int = setting(40, "Messages of one account on their way at the same time.")
    port: int = setting(25, "The port of the world's servers; only tests change it.")
    sources: tuple[str, ...] = setting(
        (), "Local addresses to send from, of both families. Empty: the system's."
    )
    proxy: str = setting("", '`"socks5://[user:password@]host:port"` to send through a proxy.')
    messages_per_hour: int = setting(300, "Per account; 0: no limit.")
    messages_per_day: int = setting(2000, "Per account; 0: no limit.")
    recipients_per_hour: int = setting(1000, "Per account; 0: no limit.")
    recipients_per_day: int = setting(5000, "Per account; 0: no limit.")
    strangers_per_hour: int = setting(
        100,
        "An account that writes to more people it never wrote to (and ten times its usual) is held; 0: off.",
    )
    failures_per_hour: int = setting(
        20, "An account with more recipients refused for good (and 30 % of all) is held; 0: never."
    )
    mta_sts: bool = setting(True, "Obey the destinations' MTA-STS policies (RFC 8461).")
    dane: bool = setting(True, "Obey their TLSA records (RFC 7672), when DNS answers can be trusted.")
    tlsrpt: bool = setting(True, "Send the daily reports of RFC 8460 to who asks for them.")
    keep_traces: float = setting(2_592_000.0, "How long `mailwright trace` remembers, at most.", "seconds")
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True)
class DKIM:
    """Signatures on what our domains send. Keys: `<directory>/<domain>/<selector>.pem`."""

    enabled: bool = setting(True, "Sign with every key of the sender's domain.")
    directory: Path | None = setting(None, "The folder of the keys. Unset: `dkim` in the data folder.")
    selectors: tuple[str, ...] = setting(
        (), "Sign with these only, as while a new key is being published. Empty: all."
    )


@dataclass(frozen=True)
class DNS:
    """How names are resolved."""

    servers: tuple[Address, ...] = setting((), 'Resolvers, `"host:port"`. Empty: those of /etc/resolv.conf.')
    trust_ad: bool = setting(
        True, "Believe the AD bit of resolvers on loopback, as DANE needs; of others it is never believed."
    )
    timeout: float = setting(2.0, "For one question to one server.", "seconds")


@dataclass(frozen=True)
class Log:
    """What is told while the server runs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "The least important lines shown.")
    format: Literal["text", "json"] = setting("text", "For people or for programs.")


@dataclass(frozen=True)
class Config:
    """All settings."""

    server: Server = Server()
    listeners: Listeners = Listeners()
    tls: TLS = TLS()
    store: Store = Store()
    auth: Auth = Auth()
    delivery: Delivery = Delivery()
    hooks: Hooks = Hooks()
    queue: Queue = Queue()
    dkim: DKIM = DKIM()
    dns: DNS = DNS()
    log: Log = Log()
    limits: Limits = Limits()

    @property
    def database(self) -> str:
        """The path of the SQLite file, or the PostgreSQL URL."""
        return self.store.database or str(self.server.data / "mail.sqlite")

    @property
    def is_postgres(self) -> bool:
        return self.store.database.startswith(("postgresql://", "postgres://"))

    @property
    def dkim_directory(self) -> Path:
        return self.dkim.directory or self.server.data / "dkim"


# What each limit means, and its unit: base/limits.py keeps to numbers.
LIMITS: Final[dict[str, tuple[Literal["", "octets", "seconds"], str]]] = {
    "message_size": ("octets", "The largest message: SIZE (RFC 1870) and APPENDLIMIT (RFC 7889)."),
    "recipients": ("", "Recipients of one message; at least 100 (RFC 5321 4.5.3.1.8)."),
    "memory_per_message": ("octets", "A larger message waits in a temporary file while it comes in."),
    "connections": ("", "Connections in all."),
    "connections_per_address": ("", "Connections from one address (IPv6: one /64)."),
    "read_ahead": ("octets", "What is read from a peer before it is consumed."),
    "write_ahead": ("octets", "What is written to a peer before it is taken."),
    "smtp_command_line": ("octets", "The longest SMTP command."),
    "smtp_auth_line": ("octets", "The longest line of an AUTH exchange (RFC 4954 4)."),
    "smtp_command_timeout": ("seconds", "How long we wait for an SMTP command (RFC 5321 4.5.3.2.7)."),
    "smtp_data_timeout": ("seconds", "How long we wait for more of a message (RFC 5321 4.5.3.2.5)."),
    "smtp_min_data_rate": (
        "",
        "Octets a second, on average after the first minute; slower senders are dropped.",
    ),
    "smtp_errors": ("", "Bad SMTP commands, until we hang up."),
    "smtp_commands": ("", "SMTP commands between two messages."),
    "smtp_transactions": ("", "Messages in one SMTP connection."),
    "imap_line": ("octets", "The longest IMAP command line."),
    "imap_literal": ("octets", "The longest IMAP literal outside APPEND."),
    "imap_idle_timeout": (
        "seconds",
        "How long an IMAP session may be silent; at least 30 minutes (RFC 3501 5.4).",
    ),
    "imap_notifications": ("", "Changes that NOTIFY tells a client at once (RFC 5465 5.8)."),
    "imap_messages": ("", "Messages that one IMAP command may work on (RFC 9738); 0 is any number."),
    "imap_login_timeout": ("seconds", "How long an IMAP client may take to log in."),
    "pop3_line": ("octets", "The longest POP3 command (RFC 2449 4)."),
    "pop3_idle_timeout": (
        "seconds",
        "How long a POP3 session may be silent; at least 10 minutes (RFC 1939 3).",
    ),
    "bad_commands": ("", "Bad IMAP or POP3 commands, until we hang up."),
    "login_failures": ("", "Failed logins, per account and per address, until the lock-out."),
    "login_lockout": ("seconds", "How long a lock-out lasts."),
}
