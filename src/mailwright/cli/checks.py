"""What `mailwright doctor` looks at. Each check gives its findings, and for each fault the way to mend it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mailwright.cli.domain import hostname
from mailwright.cli.output import counted

if TYPE_CHECKING:
    from mailwright.cli.records import Record
    from mailwright.config import Address, Config
    from mailwright.dns.api import Resolver
    from mailwright.store.db.api import Transaction

_FREE: Final = 1 << 30  # octets of disk below which we warn


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Check(NamedTuple):
    """One finding; `remedy` says what to do."""

    what: str
    level: Level
    text: str
    remedy: str = ""


def data_folder(config: Config) -> list[Check]:
    """That it is there, ours, and has room."""
    folder = config.server.data
    if not folder.is_dir():
        return [Check("data folder", Level.WRONG, f"{folder} is not there", f"mkdir -m 700 {folder}")]
    found, folders = [], [folder]
    blobs = Path(config.store.blobs)
    if config.store.blobs != "database" and blobs.exists():
        folders.append(blobs)
    for path in folders:
        if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            remedy = "run this as the user of the server, or give it the folder; its disk must not be mounted read-only"
            return [
                Check("data folder", Level.WRONG, f"{path} is no folder that this user can write to", remedy)
            ]
        if path.stat().st_mode & 0o077 and (path == folder or not path.is_relative_to(folder)):
            found.append(
                Check("data folder", Level.WARNING, f"{path} is open to others", f"chmod 700 {path}")
            )
    free = shutil.disk_usage(folder).free
    level = Level.OK if free > _FREE else Level.WARNING
    remedy = "" if free > _FREE else "make room; a full disk stops mail from coming in"
    return [*found, Check("data folder", level, f"{folder}, {free / 2**30:.1f} GiB free", remedy)]


def certificate(config: Config) -> list[Check]:
    """That it can be used, is not about to end, and names this server."""
    from mailwright.tls import certificates

    given = config.tls.certificate is not None and config.tls.key is not None
    path = config.tls.certificate or config.server.data / "certificate.pem"
    key = config.tls.key or config.server.data / "key.pem"
    trusted = "other servers and mail clients do not trust it; set [tls] certificate and key"
    if not given and not path.exists():
        return [
            Check("certificate", Level.WARNING, "none is given; the server will make one itself", trusted)
        ]

    def wrong(text: str, remedy: str) -> Check:
        if not given:
            return Check("certificate", Level.WARNING, text, "the server makes another when it starts")
        return Check("certificate", Level.WRONG, text, remedy)

    try:
        certificates.server_context(path, key)
        ends, names = certificates.expires_at(path), certificates.names_in(path)
    except certificates.BadCertificate as error:
        return [wrong(str(error), "mend the files that [tls] names")]
    days = (ends - datetime.now(UTC)).days
    name = hostname(config)
    found = []
    if days < 0:
        found.append(wrong(f"{path} ended {counted(-days, 'day')} ago", "renew it"))
    elif days < 14 and given:
        found.append(
            Check("certificate", Level.WARNING, f"{path} ends in {counted(days, 'day')}", "renew it")
        )
    if not _names_match(names, name):
        text = f"{path} is for {', '.join(names) or 'no name'}, not for {name}"
        found.append(wrong(text, f"get one for {name}, or set [server] hostname"))
    if not given:
        found.append(Check("certificate", Level.WARNING, f"{path} is self-signed", trusted))
    return found or [
        Check("certificate", Level.OK, f"{path} for {', '.join(names)}, good for {counted(days, 'day')}")
    ]


def store(config: Config, deep: bool) -> list[Check]:
    """That it opens, its structure is whole, and its counts agree with what is there."""
    from mailwright.app.storage import check_whole
    from mailwright.cli.opening import read
    from mailwright.store.errors import StoreError

    try:
        check_whole(config)
    except StoreError as error:
        return [Check("store", Level.WRONG, str(error), "let the restore end, or run it again")]
    if not config.is_postgres and not Path(config.database).exists():
        remedy = "`mailwright init` or `mailwright domain add` makes it"
        return [Check("store", Level.WARNING, f"there is none yet at {config.database}", remedy)]
    found = _structure(Path(config.database), deep) if not config.is_postgres else []
    try:
        faults, messages, accounts = read(config, _consistency)
    except StoreError as error:
        text, _, remedy = str(error).partition("; ")
        return found or [Check("store", Level.WRONG, text, remedy)]
    for fault in faults:
        found.append(Check("store", Level.WRONG, fault, "restore a backup, and report this as a defect"))
    if deep:
        found += _contents(config)
    return found or [
        Check(
            "store",
            Level.OK,
            f"{counted(accounts, 'account')}, {counted(messages, 'message')}, all counts agree",
        )
    ]


def _contents(config: Config) -> list[Check]:
    """That each message is what was accepted, and found by what it says."""
    from mailwright.cli.opening import read
    from mailwright.store.verify import check_blobs, check_indexes

    remedy = "restore a backup of before; the disk may be failing"
    found = [Check("content", Level.WRONG, fault, remedy) for fault in read(config, check_blobs, 20)]
    for address, fault in read(config, check_indexes, 20):
        found.append(
            Check("search", Level.WRONG, f"{address}: {fault}", f"`mailwright account reindex {address}`")
        )
    return found


def _structure(path: Path, deep: bool) -> list[Check]:
    import apsw

    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(5000)
        pragma = "integrity_check(5)" if deep else "quick_check(5)"
        told = [str(text) for (text,) in connection.execute(f"PRAGMA {pragma}") if text != "ok"]
        connection.close()
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError) as error:
        remedy = "run this as the user of the server, and see that the folder is not mounted read-only"
        return [Check("store", Level.WRONG, f"{path} cannot be opened or written: {error}", remedy)]
    except apsw.Error as error:
        told = [str(error)]
    remedy = "check the disk, then `mailwright restore` a backup"
    return [Check("store", Level.WRONG, f"{path} is damaged: {text}", remedy) for text in told]


def _consistency(tx: Transaction) -> tuple[list[str], int, int]:
    """What does not agree in the store; how many messages and accounts there are."""
    faults = []
    for account, name in tx.all(
        "SELECT b.account, b.name FROM mailboxes b LEFT JOIN (SELECT account, mailbox, count(*) AS n, max(uid) AS last,"
        " sum(1 - (flags & 1)) AS unseen, sum((flags & 8) / 8) AS deleted FROM marked GROUP BY account, mailbox) p"
        " ON p.account = b.account AND p.mailbox = b.id WHERE b.messages <> coalesce(p.n, 0)"
        " OR b.unseen <> coalesce(p.unseen, 0) OR b.deleted <> coalesce(p.deleted, 0)"
        " OR b.uidnext <= coalesce(p.last, 0)"
    ):
        faults.append(f"the mailbox {name} of account {account} counts its messages wrong")
    for text, sql in (
        ("places without a message", "places p LEFT JOIN messages m ON m.id = p.message WHERE m.id IS NULL"),
        ("messages without a place", "messages m LEFT JOIN places p ON p.message = m.id WHERE p.uid IS NULL"),
        ("messages without content", "messages m LEFT JOIN blobs b ON b.id = m.blob WHERE b.id IS NULL"),
        ("places without a mailbox", "places p LEFT JOIN mailboxes b ON b.account = p.account AND b.id = p.mailbox"
         " WHERE b.id IS NULL"),
        ("places without flags", "places p LEFT JOIN marks k ON k.id = p.mark AND k.account = p.account"
         " AND k.mailbox = p.mailbox WHERE k.id IS NULL"),
        ("mailboxes without flags for new mail", "mailboxes b LEFT JOIN marks k ON k.id = b.fresh"
         " AND k.account = b.account AND k.mailbox = b.id AND k.flags = 0 AND k.keywords = '' WHERE k.id IS NULL"),
    ):  # fmt: skip
        row = tx.one(f"SELECT count(*) FROM {sql}")  # noqa: S608
        if row is not None and row[0]:
            faults.append(f"{row[0]} {text}")
    (messages,) = tx.one("SELECT count(*) FROM messages") or (0,)
    (accounts,) = tx.one("SELECT count(*) FROM accounts") or (0,)
    return faults, messages, accounts


def sending(config: Config) -> list[Check]:
    """That what goes out can be signed, and routes have their passwords."""
    found = []
    for route in config.queue.routes:
        if route.password_file is not None:
            try:
                route.password_file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                remedy = "put the password there, readable by the server's user, or mend password_file"
                text = f"its password cannot be read: {error}"
                found.append(Check(f"route {route.name}", Level.WRONG, text, remedy))
    if config.dkim.enabled:
        found += [check for domain in domains_of(config) for check in _keys(config, domain)]
    return found


def domains_of(config: Config) -> list[str]:
    """The domains; none where there is no store yet, or it cannot be read: its own check says why."""
    from mailwright.cli.opening import read
    from mailwright.directory.domains import list_domains
    from mailwright.store.errors import StoreError

    if not config.is_postgres and not Path(config.database).exists():
        return []
    try:
        return read(config, list_domains)
    except StoreError:
        return []


def _keys(config: Config, domain: str) -> list[Check]:
    from mailwright.cli.records import load_key
    from mailwright.mailauth.dkim.key import InvalidKey

    what, folder, found = f"DKIM of {domain}", config.dkim_directory / domain, []
    there = sorted(path.stem for path in folder.glob("*.pem"))
    used = [name for name in there if name in (config.dkim.selectors or there)]
    for name in used:
        try:
            load_key(folder / f"{name}.pem")
        except InvalidKey as error:
            why, _, remedy = str(error).rpartition("; ")
            found.append(Check(what, Level.WRONG, why, remedy))
    if not used:
        remedy = f"`mailwright domain dns {domain}` makes keys, and prints what to publish"
        if there:
            remedy = f"[dkim] selectors names none of its keys: {', '.join(there)}"
        found.append(Check(what, Level.WRONG, f"no key in {folder} is used: mail is not signed", remedy))
    return found


def hooks(config: Config) -> list[Check]:
    """That they can be loaded: the server does not start without them."""
    from mailwright.hooks.loader import BadHooks, load

    try:
        found = load(config.hooks.modules, config.hooks.directory)
    except BadHooks as error:
        what, _, remedy = str(error).rpartition("; ")
        return [Check("hooks", Level.WRONG, what, remedy)]
    names = ", ".join(hook.name for hook in found)
    return [Check("hooks", Level.OK, names)] if found else []


def ports(config: Config) -> list[Check]:
    """That each address can be listened on, or that we listen there already."""
    import dataclasses

    from mailwright.cli.running import AlreadyRunning, lock_data

    running = False
    if not config.server.data.is_dir():
        return []  # its own check says why; to look makes none
    try:
        with lock_data(config):
            pass
    except AlreadyRunning:
        running = True
    except OSError:
        return []
    found = []
    for field in dataclasses.fields(config.listeners):
        for address in getattr(config.listeners, field.name).addresses:
            found.append(_port(field.name, address, running))
    return found


def _port(service: str, address: Address, running: bool) -> Check:
    from mailwright.net.listener import REASONS

    what = f"{service} on {address}"
    if running:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
        with contextlib.suppress(OSError), socket.create_connection((host, address.port), 3):
            return Check(what, Level.OK, "the server answers")
        return Check(what, Level.WRONG, "the server runs but does not answer here", "look at its log")
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address.host, address.port))
    except PermissionError:
        remedy = "start as root or by systemd with AmbientCapabilities=CAP_NET_BIND_SERVICE"
        return Check(what, Level.WARNING, "this user may not listen on it", remedy)
    except OSError as error:
        why, remedy = REASONS.get(error.errno or 0, (error.strerror, "change it in [listeners]"))
        return Check(what, Level.WRONG, f"cannot listen: {why}", remedy)
    return Check(what, Level.OK, "free; the server is not running")


async def dns(config: Config, domains: list[str]) -> list[Check]:
    """That the world finds this server, and each domain publishes what it should."""
    from mailwright.cli.records import host_record, records
    from mailwright.dns.resolver import StubResolver
    from mailwright.mailauth.dkim.key import InvalidKey

    servers = [str(server) for server in config.dns.servers]
    resolver = StubResolver(servers, timeout=config.dns.timeout, trust_ad=config.dns.trust_ad)
    host = hostname(config)
    found = await _host(resolver, host)
    wanted = [] if host in domains else [host_record(host)]
    for domain in domains:
        with contextlib.suppress(InvalidKey):  # its own check says why
            wanted += records(domain, host, config.dkim_directory)
    for record in dict.fromkeys(wanted):
        if record.type in ("MX", "TXT"):
            found.append(await _published(resolver, record))
    await resolver.close()
    return found


async def _host(resolver: Resolver, name: str) -> list[Check]:
    """The addresses of our name, and that they resolve back to it: many servers refuse mail otherwise."""
    from mailwright.dns import lookup
    from mailwright.dns.api import DNSTemporary

    what = f"DNS of {name}"
    try:
        addresses = (await lookup.addresses(resolver, name)).records
        if not addresses:
            return [Check(what, Level.WRONG, "has no address", f"publish an A or AAAA record for {name}")]
        found = []
        for address in addresses:
            names = [each.rstrip(".").lower() for each in (await lookup.ptr(resolver, address)).records]
            if name.lower() not in names:
                text = f"{address} resolves back to {', '.join(names) or 'nothing'}"
                remedy = f"ask the provider of {address} to make it resolve to {name}"
                found.append(Check(what, Level.WARNING, text, remedy))
        return found or [Check(what, Level.OK, f"{', '.join(addresses)}, and back")]
    except DNSTemporary as error:
        return [_no_answer(what, error)]


async def _published(resolver: Resolver, record: Record) -> Check:
    from mailwright.cli.records import host_record
    from mailwright.dns import lookup
    from mailwright.dns.api import DNSTemporary

    what = f"{record.type} of {record.name}"
    try:
        if record.type == "MX":
            hosts = [mx.exchange for mx in (await lookup.mx(resolver, record.name)).records]
            good, shown = record.value.split()[1].rstrip(".") in hosts, ", ".join(hosts)
        else:
            texts = [
                text.decode("utf-8", "replace") for text in (await lookup.txt(resolver, record.name)).records
            ]
            kind = record.value.partition(";")[0].partition(" ")[0].lower()
            same = [text for text in texts if text.lower().startswith(kind)]
            # The policies are the administrator's to choose; a DKIM key must be ours.
            good = (
                bool(same) if kind != "v=dkim1" else any(_squeeze(t) == _squeeze(record.value) for t in same)
            )
            shown = "; ".join(same)
    except DNSTemporary as error:
        return _no_answer(what, error)
    if good:
        return Check(what, Level.OK, shown[:100])
    optional = record.name.startswith("_smtp._tls") or record == host_record(record.name)
    level = Level.WARNING if optional else Level.WRONG
    return Check(what, level, f"is {shown}" if shown else "is not published", f"publish: {record.to_zone()}")


def _no_answer(what: str, error: Exception) -> Check:
    return Check(
        what, Level.WARNING, f"no answer: {error}", "check the resolver ([dns] servers), or use --offline"
    )


def _squeeze(text: str) -> str:
    return "".join(text.split()).lower().rstrip(";")


def _names_match(names: list[str], wanted: str) -> bool:
    """RFC 6125 6.4: a wildcard stands for one label, the first."""
    wanted = wanted.lower()
    patterns = {name.lower() for name in names}
    return wanted in patterns or f"*.{wanted.partition('.')[2]}" in patterns
