"""A real store and directory for sessions in tests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from support.accounts import new_account
from support.streams import TLS

from imap.dialog import Client, Dialog, Player, Setting
from mailwright.base.clock import ManualClock
from mailwright.base.limits import Limits
from mailwright.directory.accounts import set_quota
from mailwright.imap.service import Service
from mailwright.imap.session import Session
from mailwright.imap.syntax.flags import parse_flag_list
from mailwright.imap.syntax.lexer import Lexer
from mailwright.sasl.api import Account, Denied, Ended
from mailwright.sasl.secret import ScramSecret
from mailwright.store.acl import forget_account, grant_public, set_acl
from mailwright.store.arrivals import add
from mailwright.store.mailboxes import create_mailbox, find_mailbox
from mailwright.store.metadata import Annotation, write_server
from mailwright.store.notify.api import Subscriber
from mailwright.store.store import Store

NOW = 1_767_600_000  # 2026-01-05 08:00 UTC
_POST = 1 << 40  # no account's: told between processes to know that all that was told before has come
_SECRET = ScramSecret.from_password("secret", b"salt" * 4, 4096)
_numbers = itertools.count(1)


class Directory:
    """Alice, Bob and Cay of this dialog; their password is 'secret'. Dan's account is locked."""

    def __init__(self, accounts: dict[str, int]) -> None:
        self.accounts = accounts
        self.failures: list[str] = []

    async def verify_password(self, username: str, password: str, peer: str) -> Account | Denied:
        name = username.partition("@")[0]
        if name == "dan":
            return Denied(True, "too many failed logins; try again later")
        if password != "secret" or name not in self.accounts:
            return Denied(False, "the user name or the password is wrong")
        return Account(self.accounts[name], f"{name}@example.org")

    async def scram_secret(self, username: str, peer: str) -> ScramSecret | Denied | None:
        return _SECRET if username.partition("@")[0] in self.accounts else None

    async def scram_succeeded(self, username: str, peer: str) -> Account | Denied:
        return await self.verify_password(username, "secret", peer)

    async def scram_failed(self, username: str, peer: str) -> None:
        self.failures.append(username)

    def watch(self, account: Account, ended: Callable[[Ended], None]) -> Callable[[], None]:
        return lambda: None


def sample(number: int) -> bytes:
    """Message 1, 2 or 3, and so on."""
    name = ("Ann", "Bob", "Cay")[(number - 1) % 3]
    return (
        f"From: {name} <{name.lower()}@example.org>\r\nTo: alice@example.org\r\nSubject: Letter {number}\r\n"
        f"Date: Thu, {number} Jan 2026 12:00:00 +0000\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
        f"This is letter {number}.\r\n"
    ).encode()


class House:
    """What one dialog needs: fresh accounts in a store that others use too."""

    def __init__(self, store: Store, dialog: Dialog, others: Sequence[Store] = ()) -> None:
        """With `others` the second client comes to another process, and so on."""
        self.store = store
        self.stores = (store, *others)
        self.dialog = dialog
        self.accounts: dict[str, int] = {}
        self.addresses: dict[str, str] = {}
        self.values: dict[str, str] = {}  # what the dialog's variables hold at first

    async def _news(self) -> None:
        """Until what happened in one process is known in all."""
        waiting = set(itertools.permutations(range(len(self.stores)), 2))

        def hear(here: int, there: int) -> Subscriber:
            return lambda post, _: waiting.discard((here, there)) if post == _POST + here else None

        ends = [
            self.stores[there].notify.subscribe(_POST + here, hear(here, there)) for here, there in waiting
        ]
        async with asyncio.timeout(60):
            while waiting:  # who has just begun to listen has missed it
                for here in {here for here, _ in waiting}:
                    self.stores[here].notify.publish(_POST + here, 0)
                await asyncio.sleep(0.01)
        for end in ends:
            end()

    async def prepare(self) -> None:
        number = next(_numbers)
        self.values["number"] = str(number)
        for name in ("alice", "bob"):
            self.addresses[name] = f"{name}-{number}@example.org"
            self.values[name] = self.addresses[name]
            self.accounts[name] = await self.store.write(new_account, self.addresses[name])
        for setting in self.dialog.settings:
            await self._put(setting)

    async def _put(self, setting: Setting) -> None:
        alice = self.accounts["alice"]
        kind, *words = setting.words
        if kind == "mailbox":
            await self.store.write(create_mailbox, alice, words[0])
        elif kind == "messages":
            for number in range(1, int(words[1]) + 1):
                await self._add(
                    alice, words[0], sample(number), internal_date=NOW - 10 * 86400 + number * 86400
                )
        elif kind == "grant":
            await self.store.write(
                set_acl, alice, words[0], self.addresses.get(words[1], words[1]), "", words[2]
            )
        elif kind == "quota":
            await self.store.write(set_quota, self.addresses["alice"], int(words[0]), int(words[1]))
        elif kind == "public":
            await self.store.write(grant_public, self.addresses[words[0]], words[1], now=NOW)
        elif kind == "server":
            await self.store.write(write_server, [Annotation(words[0], " ".join(words[1:]).encode())])
        elif kind == "message":
            flags = parse_flag_list(Lexer(" ".join(words[1:-1]).encode()))
            content = setting.literal.encode()
            options: dict[str, Any] = {"flags": flags.mask, "keywords": " ".join(flags.keywords)}
            await self._add(alice, words[0], content, internal_date=int(words[-1]), **options)

    async def _add(self, account: int, mailbox: str, content: bytes, **options: Any) -> None:
        incoming = self.store.incoming()
        await incoming.write(content)
        target = await self.store.read(find_mailbox, account, mailbox)
        await self.store.write(add, account, target.id, await incoming.finish(), now=NOW - 86400, **options)
        incoming.close()

    def service(self, store: Store) -> Service:
        words = {setting.words[0]: setting.words[1:] for setting in self.dialog.settings}
        limits = Limits()
        for setting in self.dialog.settings:
            if setting.words[0] == "limit":
                limits = replace(limits, **{setting.words[1]: int(setting.words[2])})
        return Service(
            store,
            Directory(self.accounts),
            ManualClock(NOW),
            hostname="mail.example.org",
            server_secret=b"s" * 32,
            limits=limits,
            tls=None if "no-starttls" in words else object,  # type: ignore[arg-type]
            allow_plaintext_auth="passwords" in words.get("plain", []),
        )

    async def play(self, bytewise: bool) -> None:
        """Play the dialog with as many clients as speak in it."""
        await self.prepare()
        services = [self.service(store) for store in self.stores]
        words = {setting.words[0] for setting in self.dialog.settings}
        users = {int(s.words[1]): s.words[2] for s in self.dialog.settings if s.words[0] == "user"}
        clients: dict[int, Client] = {}
        sessions = []
        for number in sorted({turn.client for turn in self.dialog.turns}):
            client = clients[number] = Client(bytewise, None if "plain" in words else TLS)
            session = Session(client, services[(number - 1) % len(services)])
            if "fresh" not in words:
                name = users.get(number, "alice")
                session.log_in(Account(self.accounts[name], f"{name}@example.org"))
            client.task = asyncio.ensure_future(session.run())
            sessions.append(client.task)
            if "fresh" not in words:
                await client.line()
            if "selected" in words:
                client.say(b"x SELECT INBOX\r\n")
                while not (await client.response()).startswith("x OK"):
                    pass
        try:
            await Player(self.dialog, clients, self.values, self._news if self.stores[1:] else None).play()
        finally:
            for client in clients.values():
                client.lose()
            await asyncio.wait_for(asyncio.gather(*sessions), 60)
            for name, address in self.addresses.items():  # or the next dialogs see what `anyone` may
                await self.store.write(forget_account, self.accounts[name], address)
