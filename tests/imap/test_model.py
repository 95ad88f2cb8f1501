"""Several clients at random on one mailbox: what each can know from the responses alone is what the store holds."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from support.accounts import new_account
from support.stores import open_store
from support.streams import TLS

from imap.dialog import Client
from imap.house import NOW, Directory, sample
from mailwright.base.clock import ManualClock
from mailwright.imap.service import Service
from mailwright.imap.session import Session
from mailwright.sasl.api import Account
from mailwright.store.mailboxes import find_mailbox
from mailwright.store.reading import read_range
from mailwright.store.sets import pack, unpack
from mailwright.store.store import Store

Connect = Callable[[], Awaitable[Client]]
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "\\Answered", "$Work", "$Home")
ACTIONS = 60


def literal(content: bytes) -> str:
    return f"{{{len(content)}+}}\r\n{content.decode()}"


class Letter:
    """What a client knows of a message; None is what it was never told."""

    def __init__(self) -> None:
        self.uid: int | None = None
        self.flags: frozenset[str] | None = None


class Watcher:
    """A client that believes every response and nothing else."""

    silences: tuple[str, ...] = ("", ".SILENT")

    def __init__(self, client: Client, rng: random.Random) -> None:
        self.client = client
        self.rng = rng
        self.letters: list[Letter] = []
        self.log: list[str] = []
        self.tags = 0
        self.may_expunge = True

    async def command(self, text: str, uses_numbers: bool = False) -> str:
        """Send a command and take in its responses; the tagged one."""
        self.tags += 1
        tag = f"t{self.tags}"
        self.may_expunge = not uses_numbers
        self.log.append(f"C: {text}")
        self.client.say(f"{tag} {text}\r\n".encode())
        while True:
            response = await self.client.response()
            self.log.append(f"S: {response}")
            if response.startswith(f"{tag} "):
                return response
            self.take(response)

    async def pipeline(self, *texts: str) -> None:
        """Commands sent at once; all but the last use sequence numbers, which forbid EXPUNGE (RFC 3501 5.5)."""
        self.tags += 1
        tags = [f"p{self.tags}.{n}" for n in range(len(texts))]
        self.log += [f"C: {text}" for text in texts]
        self.client.say("".join(f"{tag} {text}\r\n" for tag, text in zip(tags, texts, strict=True)).encode())
        for tag in tags:
            self.may_expunge = tag == tags[-1]
            while not (response := await self.client.response()).startswith(f"{tag} "):
                self.log.append(f"S: {response}")
                self.take(response)

    def take(self, response: str) -> None:
        number, _, rest = response.removeprefix("* ").partition(" ")
        if not number.isdigit():
            return
        if rest == "EXISTS":
            assert int(number) >= len(self.letters), "EXISTS never takes messages away"
            self.letters += [Letter() for _ in range(int(number) - len(self.letters))]
        elif rest == "EXPUNGE":
            assert self.may_expunge, "RFC 3501 7.4.1"
            del self.letters[int(number) - 1]
        elif rest.startswith("FETCH"):
            letter = self.letters[int(number) - 1]
            uid = re.search(r"UID (\d+)", rest)
            flags = re.search(r"FLAGS \(([^)]*)\)", rest)
            if uid is not None:
                assert letter.uid in (None, int(uid.group(1))), "a sequence number means another message"
                letter.uid = int(uid.group(1))
            if flags is not None:
                letter.flags = frozenset(flags.group(1).split()) - {"\\Recent"}

    def numbers(self) -> str:
        """Some messages by their numbers, as a set."""
        count = len(self.letters)
        low, high = sorted((self.rng.randint(1, count), self.rng.randint(1, count)))
        return self.rng.choice([str(low), f"{low}:{high}", f"{low},{high}", f"{high}:*", "*"])

    def uids(self) -> str:
        low = self.rng.randint(1, 60)
        return self.rng.choice([str(low), f"{low}:{low + 5}", f"{low}:*"])

    async def act(self) -> None:
        """Anything a client may do."""
        rng = self.rng
        flags = " ".join(rng.sample(FLAGS, rng.randint(1, 2)))
        store = f"{rng.choice(['', '+', '-'])}FLAGS{rng.choice(self.silences)} ({flags})"
        silent = "SILENT" in store
        kinds = [
            "append",
            "noop",
            "uid fetch",
            "uid store",
            "uid search",
            "uid move",
            "expunge",
            "idle",
            "reselect",
            "uid expunge",
            "partial",
            "saved",
        ]
        if self.letters:
            kinds += ["fetch", "store", "search", "copy", "move", "replace", "pipeline"] * 2
        kind = rng.choice(kinds)
        message = f" ({flags}) {literal(sample(rng.randint(1, 9)))}"
        if kind == "append":
            await self.command(f"APPEND INBOX{message * rng.randint(1, 2)}")
        elif kind == "replace":
            await self.command(f"REPLACE {rng.randint(1, len(self.letters))} INBOX{message}")
        elif kind == "uid expunge":
            await self.command(f"UID EXPUNGE {self.uids()}")
        elif kind == "partial":
            await self.command(f"UID FETCH 1:* (FLAGS) (PARTIAL -1:-{rng.randint(1, 5)})")
        elif kind == "saved":
            await self.command("SEARCH RETURN (SAVE) UNSEEN", uses_numbers=True)
            await self.command(f"STORE $ {store}", uses_numbers=True)
            self.forget(silent)
        elif kind == "pipeline":
            number = rng.randint(1, len(self.letters))
            await self.pipeline(
                f"STORE {number} +FLAGS ({flags})", f"FETCH {self.numbers()} (UID FLAGS)", "NOOP"
            )
        elif kind == "noop":
            await self.command("NOOP")
        elif kind == "fetch":
            await self.command(f"FETCH {self.numbers()} (UID FLAGS)", uses_numbers=True)
        elif kind == "store":
            numbers = self.numbers()
            await self.command(f"STORE {numbers} {store}", uses_numbers=True)
            self.forget(silent)
        elif kind == "search":
            await self.command(f"SEARCH {self.numbers()} UNSEEN", uses_numbers=True)
        elif kind in ("copy", "move"):
            await self.command(f"{kind.upper()} {self.numbers()} {rng.choice(['INBOX', 'Trash'])}")
        elif kind == "uid fetch":
            await self.command(f"UID FETCH {self.uids()} (FLAGS)")
        elif kind == "uid store":
            await self.command(f"UID STORE {self.uids()} {store}")
            self.forget(silent)
        elif kind == "uid search":
            await self.command(f"UID SEARCH UID {self.uids()}")
        elif kind == "uid move":
            await self.command(f"UID MOVE {self.uids()} {rng.choice(['INBOX', 'Trash'])}")
        elif kind == "expunge":
            await self.command("EXPUNGE")
        elif kind == "reselect":
            await self.reselect()
        else:
            await self.idle()

    async def reselect(self) -> None:
        self.letters = []
        await self.command("SELECT INBOX")

    async def idle(self) -> None:
        self.client.say(b"i IDLE\r\n")
        self.may_expunge = True
        while not (response := await self.client.response()).startswith("+"):
            raise AssertionError(response)
        await asyncio.sleep(0.002)
        self.client.say(b"DONE\r\n")
        while not (response := await self.client.response()).startswith("i "):
            self.log.append(f"S: {response}")
            self.take(response)

    def forget(self, silent: bool) -> None:
        """After a silent STORE the flags are the client's own to work out: this one does not."""
        if silent:
            for letter in self.letters:
                letter.flags = None

    async def check(self, truth: list[tuple[int, frozenset[str]]]) -> None:
        """With all news told, everything that is known is right."""
        await self.command("NOOP")
        assert len(self.letters) == len(truth)
        for letter, (uid, flags) in zip(self.letters, truth, strict=True):
            assert letter.uid in (None, uid)
            assert letter.flags in (None, flags), (letter.uid, letter.flags, flags)
        if truth:
            await self.command("FETCH 1:* (UID FLAGS)", uses_numbers=True)
        assert [(letter.uid, letter.flags) for letter in self.letters] == truth


class Returner(Watcher):
    """A client with a cache, which drops its connection and comes back by QRESYNC (RFC 7162 3.2.5)."""

    silences = ("",)  # it takes the flags from the responses

    def __init__(self, connect: Connect, client: Client, rng: random.Random) -> None:
        super().__init__(client, rng)
        self.connect = connect
        self.uidvalidity = self.modseq = self.seen = self.told = 0
        self.returning: dict[int, frozenset[str] | None] | None = None
        self.count = 0

    def take(self, response: str) -> None:
        for name in ("UIDVALIDITY", "HIGHESTMODSEQ"):
            code = re.search(rf"\[{name} (\d+)\]", response)
            if code is not None and name == "UIDVALIDITY":
                self.uidvalidity = int(code.group(1))
            elif code is not None:
                self.told = int(code.group(1))
        shown = re.search(r"MODSEQ \((\d+)\)", response)
        if shown is not None:
            self.seen = max(self.seen, int(shown.group(1)))
        vanished = re.fullmatch(r"\* VANISHED (\(EARLIER\) )?([0-9:,]+)", response)
        if vanished is not None:
            self.vanish(set(unpack(vanished.group(2))), bool(vanished.group(1)))
        elif self.returning is not None:
            self.take_returning(response)
        else:
            assert not response.endswith(" EXPUNGE")
            super().take(response)

    def vanish(self, uids: set[int], earlier: bool) -> None:
        if self.returning is not None:
            assert earlier
            for uid in uids:
                self.returning.pop(uid, None)
            return
        assert not earlier
        assert self.may_expunge, "RFC 7162 3.2.10"
        for uid in sorted(uids):
            # One whose UID was never told stands behind all that have a lower one.
            place = 1 + max(
                [n for n, letter in enumerate(self.letters) if letter.uid is not None and letter.uid <= uid],
                default=-1,
            )
            if place and self.letters[place - 1].uid == uid:
                place -= 1
            else:
                assert self.letters[place].uid is None, "a UID vanished that was not there"
            del self.letters[place]

    def take_returning(self, response: str) -> None:
        assert self.returning is not None
        exists = re.fullmatch(r"\* (\d+) EXISTS", response)
        fetched = re.fullmatch(r"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) MODSEQ \(\d+\)\)", response)
        if exists is not None:
            self.count = int(exists.group(1))
        elif fetched is not None:
            self.returning[int(fetched.group(1))] = frozenset(fetched.group(2).split()) - {"\\Recent"}

    async def command(self, text: str, uses_numbers: bool = False) -> str:
        self.told = 0
        reply = await super().command(text, uses_numbers)
        code = re.search(r"\[HIGHESTMODSEQ (\d+)\]", reply)
        if code is not None:
            self.told = int(code.group(1))
        self.seen = max(self.seen, self.told)
        # RFC 7162 6: what was shown may be believed to be all, unless the server says up to where it is.
        self.modseq = self.told or self.seen
        return reply

    async def act(self) -> None:
        if self.rng.random() < 0.3:
            self.client.lose()
            self.seen = self.modseq
            self.client = await self.connect()
            self.log.append("(came back)")
            await self.command("ENABLE QRESYNC")
            await self.reselect()
        else:
            await super().act()
        for _ in range(10):
            if all(letter.uid is not None for letter in self.letters):
                return
            first = next(n for n, letter in enumerate(self.letters) if letter.uid is None)
            before = (self.letters[first - 1].uid or 0) if first else 0
            await self.command(f"UID FETCH {before + 1}:* (FLAGS)")
        raise AssertionError("messages that never show their UID")

    async def reselect(self) -> None:
        if not self.uidvalidity:
            self.letters = []
            await self.command("SELECT INBOX")
            return
        cache = {letter.uid: letter.flags for letter in self.letters if letter.uid is not None}
        self.returning = cache
        known = f" {pack(cache)}" if cache and self.rng.random() < 0.5 else ""
        reply = await self.command(f"SELECT INBOX (QRESYNC ({self.uidvalidity} {self.modseq}{known}))")
        assert " OK " in reply
        self.letters = []
        for uid, flags in sorted(self.returning.items()):
            letter = Letter()
            letter.uid, letter.flags = uid, flags
            self.letters.append(letter)
        self.returning = None
        if known:
            self.letters += [Letter() for _ in range(self.count - len(self.letters))]
        assert len(self.letters) == self.count, "the cache holds what the mailbox holds"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    async with open_store(tmp_path_factory.mktemp("model")) as opened:
        yield opened


async def truth_of(store: Store, account: int) -> list[tuple[int, frozenset[str]]]:
    inbox = await store.read(find_mailbox, account, "INBOX")
    names = {1: "\\Seen", 2: "\\Answered", 4: "\\Flagged", 8: "\\Deleted", 16: "\\Draft"}
    return [
        (
            place.uid,
            frozenset([name for bit, name in names.items() if place.flags & bit] + place.keywords.split()),
        )
        for place in await store.read(read_range, account, inbox.id)
    ]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", range(25))
async def test_clients_at_random(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    account = await store.write(new_account, f"model{seed}@example.org")
    service = Service(
        store, Directory({}), ManualClock(NOW), hostname="mail.example.org", server_secret=b"s" * 32
    )
    sessions = []

    async def connect() -> Client:
        client = Client(bytewise=False, tls=TLS)
        session = Session(client, service)
        session.log_in(Account(account, "model@example.org"))
        sessions.append(asyncio.ensure_future(session.run()))
        await client.line()
        return client

    watchers = [Watcher(await connect(), rng) for _ in range(rng.randint(1, 2))]
    watchers += [Returner(connect, await connect(), rng) for _ in range(rng.randint(1, 2))]
    try:
        for watcher in watchers:
            if isinstance(watcher, Returner):
                await watcher.command("ENABLE QRESYNC")
            await watcher.reselect()
        for step in range(ACTIONS):
            await rng.choice(watchers).act()
            if step % 20 == 19:
                truth = await truth_of(store, account)
                for watcher in watchers:
                    await watcher.check(truth)
    except AssertionError as error:
        logs = "\n\n".join("\n".join(watcher.log[-25:]) for watcher in watchers)
        raise AssertionError(f"{error}\n{logs}") from error
    finally:
        for watcher in watchers:
            watcher.client.lose()
        await asyncio.wait_for(asyncio.gather(*sessions), 60)
