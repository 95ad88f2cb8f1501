"""What becomes of a message: mailboxes, the queue, refusals. The mailroom over a real store."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path as FilePath

import pytest
from support.stores import open_store

from mailwright.app.outbound import server_itself
from mailwright.base.clock import ManualClock
from mailwright.config import Config
from mailwright.delivery import story
from mailwright.delivery.inbound import loop_step
from mailwright.delivery.local import keep_report
from mailwright.delivery.mailroom import DeliveryMailroom, MailroomRules
from mailwright.delivery.routing import Router
from mailwright.delivery.signing import KeyRing
from mailwright.directory.accounts import add_account, remove_account, set_disabled, set_quota
from mailwright.directory.aliases import add_alias
from mailwright.directory.domains import add_domain, remove_domain
from mailwright.hooks import (
    Delivered,
    MessageArrived,
    Queued,
    RecipientGiven,
    Redirect,
    Refuse,
    SenderGiven,
    Tag,
    on,
)
from mailwright.hooks.caller import Hooks
from mailwright.hooks.loader import Hook
from mailwright.mailauth.dkim.key import dump_private_key, generate_key
from mailwright.net.api import Peer, TLSInfo
from mailwright.queue.dsn import Origin
from mailwright.queue.intake import Lease
from mailwright.queue.intake import Queued as InQueue
from mailwright.queue.model import Rules
from mailwright.queue.reports import Reports
from mailwright.queue.srs import Rewriter
from mailwright.queue.usage import Suppression, suppress
from mailwright.queue.values import NewMessage, notify_to_text
from mailwright.sasl.api import Account
from mailwright.smtp import replies
from mailwright.smtp.api import Answer, Envelope, Recipient, Role, SessionInfo
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.parameters import MailParameters, RcptParameters
from mailwright.smtp.syntax.path import Path, parse_mailbox
from mailwright.store import mailboxes, reading
from mailwright.store.db.api import Transaction
from mailwright.store.notify.api import QUEUE
from mailwright.store.store import Store

PEER = Peer("192.0.2.9", 4711)
RELAY = SessionInfo("00001", Role.RELAY, PEER, "client.example", True, None, None)
IS_US = server_itself(Config(), "mx.example.org")
MESSAGE = b"From: eve@elsewhere.example\r\nSubject: hi\r\n\r\nbody\r\n"


async def answered(answer: Answer) -> Reply | None:
    """The mailroom's answer, waited for if it was not known at once."""
    return answer if answer is None or isinstance(answer, Reply) else await answer


def keep_here(tx: Transaction, address: str, content: bytes, now: float) -> tuple[str, ...]:
    return keep_report(tx, address, content, now, "+", IS_US)


class House:
    """A mailroom with alice and bob of example.org behind it."""

    def __init__(self, store: Store, folder: FilePath, hooks: Hooks | None = None) -> None:
        self.store = store
        self.clock = ManualClock()
        self.keys = folder / "dkim"
        router = Router(
            store, self.clock, "+", "mx.example.org", IS_US, lambda domain: Rewriter(domain, (b"secret",))
        )
        rules = MailroomRules(
            "mx.example.org",
            steps=(loop_step(5),),
            report=Reports(Rules(), Origin("mx.example.org", "postmaster@example.org"), keep_here),
        )
        self.room = DeliveryMailroom(store, router, KeyRing(self.keys), rules, self.clock, hooks)
        self.told: list[InQueue] = []
        self.room.dispatcher = self

    def lease(self, message: NewMessage) -> Lease | None:
        return None

    def queued(self, queued: Iterable[InQueue]) -> None:
        self.told += queued

    async def send(
        self,
        content: bytes,
        sender: str,
        *recipients: str,
        info: SessionInfo = RELAY,
        notify: tuple[str, ...] = (),
    ) -> Reply | list[Reply]:
        given = tuple(Recipient(path(recipient), notify) for recipient in recipients)
        envelope = Envelope(path(sender), given, envid="E1")
        message = self.room.open_message()
        await message.write(content)
        try:
            return await self.room.accept(info, envelope, message)
        finally:
            message.close()

    async def check(self, recipient: str, info: SessionInfo = RELAY, size: int = 0) -> Reply | None:
        envelope = Envelope(path("eve@elsewhere.example"), size=size)
        return await answered(self.room.check_recipient(info, envelope, path(recipient), RcptParameters()))

    async def inbox(self, address: str) -> list[bytes]:
        def read(tx: Transaction) -> list[bytes]:
            row = tx.one("SELECT id FROM accounts WHERE address = ?", address)
            assert row is not None
            box = mailboxes.find_mailbox(tx, row[0], "INBOX")
            rows = list(reading.read_joined(tx, row[0], box.id, 1, 2**32, "m.blob"))
            return [tx.blobs.read_whole(tx, blob) for (blob,) in rows]

        return await self.store.read(read)

    async def queue(self) -> list[tuple[str, str, bytes]]:
        def read(tx: Transaction) -> list[tuple[str, str, bytes]]:
            rows = tx.all(
                "SELECT m.reverse_path, r.address, m.blob FROM queue_messages m"
                " JOIN queue_recipients r ON r.message = m.id ORDER BY r.address"
            )
            return [(sender, address, tx.blobs.read_whole(tx, blob)) for sender, address, blob in rows]

        return await self.store.read(read)


def path(address: str) -> Path:
    local, at, domain = address.rpartition("@")
    return Path(local, domain) if at else Path(address, "")


def submission(account: int, address: str) -> SessionInfo:
    tls = TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, None)
    return SessionInfo("00002", Role.SUBMISSION, PEER, "laptop", True, tls, Account(account, address))


@pytest.fixture
async def house(tmp_path: FilePath) -> AsyncIterator[House]:
    async with open_store(tmp_path) as store:
        await store.write(add_domain, "example.org", now=1)
        for name in ("alice", "bob"):
            await store.write(add_account, f"{name}@example.org", now=1)
        yield House(store, tmp_path)


async def alice(house: House) -> SessionInfo:
    row = await house.store.read(
        lambda tx: tx.one("SELECT id FROM accounts WHERE address = 'alice@example.org'")
    )
    assert row is not None
    return submission(row[0], "alice@example.org")


def codes(result: Reply | list[Reply]) -> list[int]:
    return [reply.code for reply in (result if isinstance(result, list) else [result])]


async def test_a_message_is_kept_behind_its_trace_fields(house: House) -> None:
    assert codes(await house.send(MESSAGE, "eve@elsewhere.example", "alice+list@example.org")) == [250]
    (content,) = await house.inbox("alice@example.org")
    head, _, rest = content.partition(b"From: eve")
    assert b"From: eve" + rest == MESSAGE
    assert head.startswith(
        b"Return-Path: <eve@elsewhere.example>\r\nDelivered-To: alice+list@example.org\r\nReceived: "
    )
    assert b"from client.example ([192.0.2.9])" in head
    assert b"with ESMTP id" in head
    assert b"for <alice+list@example.org>" in head


async def test_several_recipients_share_one_blob_and_are_not_named(house: House) -> None:
    recipients = ("alice@example.org", "bob@example.org", "alice+x@example.org")
    assert codes(await house.send(MESSAGE, "", *recipients)) == [250]  # for all of them
    assert await house.inbox("alice@example.org") == await house.inbox("bob@example.org")
    (content,) = await house.inbox("bob@example.org")
    assert b"alice" not in content
    assert content.startswith(b"Return-Path: <>\r\n")
    row = await house.store.read(lambda tx: tx.one("SELECT count(*) FROM blobs"))
    assert row == (1,)


async def test_a_report_to_the_postmaster_of_our_own_name_stays_here(house: House) -> None:
    now = house.clock.now()
    assert await house.store.write(keep_here, "postmaster@mx.example.org", MESSAGE, now) == ()
    (content,) = await house.inbox("alice@example.org")
    assert content.endswith(MESSAGE)
    elsewhere = "postmaster@elsewhere.example"
    assert await house.store.write(keep_here, elsewhere, MESSAGE, now) == (elsewhere,)


async def test_a_report_to_an_alias_that_leads_elsewhere_is_sent_there_as_any_other(house: House) -> None:
    await house.store.write(
        add_alias, "postmaster@example.org", ["admin@elsewhere.example", "bob@example.org"], now=1
    )
    reports = Reports(
        Rules(),
        Origin("mx.example.org", "postmaster@mx.example.org"),
        keep_here,
        lambda text: b"Signed: x\r\n" + text,
    )
    content = "Subject: Not delivered\r\n\r\nGrüße\r\n".encode()
    await house.store.write(
        reports.send, "postmaster@mx.example.org", content, house.clock.now(), "1@mx.example.org"
    )
    assert await house.queue() == [("", "admin@elsewhere.example", b"Signed: x\r\n" + content)]
    assert await house.store.read(lambda tx: tx.one("SELECT body FROM queue_messages")) == ("8BITMIME",)
    assert await house.inbox("bob@example.org") == [b"Return-Path: <>\r\n" + content]


async def test_who_may_be_written_to(house: House) -> None:
    await house.store.write(add_account, "gone@example.org", now=1)
    await house.store.write(set_disabled, "gone@example.org", True)
    assert await house.check("alice@example.org") is None
    assert await house.check("postmaster") is None
    assert await house.check("Postmaster@mx.example.org") is None
    assert await house.check("Postmaster@[127.0.0.1]") is None
    assert await house.check("postmaster@[IPv6:::ffff:127.0.0.1]") is None
    assert await house.check("postmaster@[192.0.2.77]") == replies.RELAY_DENIED
    assert await house.check("alice@[127.0.0.1]") == replies.RELAY_DENIED
    assert await house.check("other@mx.example.org") == replies.RELAY_DENIED
    assert await house.check("nobody@example.org") == replies.NO_SUCH_USER
    assert await house.check("gone@example.org") == replies.ACCOUNT_DISABLED
    await house.store.write(add_alias, "dead@example.org", ["never@example.org"], now=1)
    assert await house.check("dead@example.org") == replies.ALIAS_TO_NOBODY
    assert await house.check("x@elsewhere.example") == replies.RELAY_DENIED
    assert await house.check("x@elsewhere.example", await alice(house)) is None
    lmtp = RELAY._replace(role=Role.LMTP)
    assert await house.check("x@elsewhere.example", lmtp) == replies.RELAY_DENIED
    not_logged_in = (await alice(house))._replace(account=None)
    assert await house.check("x@elsewhere.example", not_logged_in) == replies.RELAY_DENIED
    logged_in_on_25 = (await alice(house))._replace(role=Role.RELAY)
    assert await house.check("x@elsewhere.example", logged_in_on_25) == replies.RELAY_DENIED


@pytest.mark.parametrize("address", ["x%elsewhere.example@example.org", "elsewhere.example!x@example.org"])
async def test_no_old_way_around_the_relay_rule(house: House, address: str) -> None:
    assert await house.check(address) == replies.NO_SUCH_USER


async def test_a_full_account_is_told_at_rcpt_and_at_the_end(house: House) -> None:
    await house.store.write(set_quota, "alice@example.org", 1000)
    assert await house.check("alice@example.org", size=100) is None
    house.clock.advance(2)
    assert await house.check("alice@example.org", size=2000) == replies.OVER_QUOTA
    assert await house.send(MESSAGE + bytes(2000), "", "alice@example.org") == [replies.OVER_QUOTA]
    assert await house.inbox("alice@example.org") == []
    lmtp = RELAY._replace(role=Role.LMTP)
    result = await house.send(MESSAGE + bytes(2000), "", "alice@example.org", "bob@example.org", info=lmtp)
    assert codes(result) == [452, 250]


async def test_submission_sends_on_and_mends_the_message(house: House) -> None:
    info = await alice(house)
    raw = b"From: alice@example.org\r\nTo: you\r\nBcc: secret@elsewhere.example,\r\n bob@example.org\r\n\r\nhi\r\n"
    recipients = ("you@elsewhere.example", "secret@elsewhere.example", "bob@example.org")
    assert codes(await house.send(raw, "alice@example.org", *recipients, info=info)) == [250]
    (local,) = await house.inbox("bob@example.org")
    queue = await house.queue()
    assert [(sender, address) for sender, address, _ in queue] == [
        ("alice@example.org", "secret@elsewhere.example"),
        ("alice@example.org", "you@elsewhere.example"),
    ]
    for content in (local, queue[0][2]):
        assert b"secret" not in content
        assert re.search(rb"^Date: .* \+0000\r$", content, re.MULTILINE)
        assert re.search(rb"^Message-ID: <[0-9a-f.]+@mx\.example\.org>\r$", content, re.MULTILINE)
        assert content.endswith(b"\r\n\r\nhi\r\n")
        assert b"with ESMTPSA" in content
    assert not queue[0][2].startswith(b"Return-Path")
    assert [item.waits for item in house.told] == [True]


@pytest.mark.parametrize("raw", [
    b"From: alice@example.org\r\nBcc: secret@elsewhere.example\r\nSubject: no more\r\n",  # RFC 5322 3.5: no body
    b"Bcc: secret@elsewhere.example\r\nSubject: no more",
    b"Bcc: secret@elsewhere.example\nSubject: no more\n\nBody\nBcc: is mentioned\n",
])  # fmt: skip
async def test_what_is_nothing_but_a_header_is_mended_and_signed_too(house: House, raw: bytes) -> None:
    (house.keys / "example.org").mkdir(parents=True)
    (house.keys / "example.org" / "e1.pem").write_bytes(dump_private_key(generate_key("ed25519-sha256")))
    info = await alice(house)
    assert codes(await house.send(raw, "alice@example.org", "bob@example.org", info=info)) == [250]
    (content,) = await house.inbox("bob@example.org")
    assert b"secret" not in content
    message = email.message_from_bytes(content)
    assert (message["From"], message["Subject"]) in {
        ("alice@example.org", "no more"),
        ("<alice@example.org>", "no more"),
    }
    assert message["Date"]
    assert message["Message-ID"]
    assert content.partition(b"Message-ID")[2].count(b"Bcc") == raw.count(b"is mentioned")
    assert set(re.sub(r"\s", "", message["DKIM-Signature"]).split(";h=")[1].split(";")[0].split(":")) >= {
        "From",
        "Subject",
        "Message-ID",
    }


@pytest.mark.parametrize(
    ("content", "body"),
    [
        (MESSAGE, "7BIT"),
        (MESSAGE + "Grüße\r\n".encode(), "8BITMIME"),
        (MESSAGE + bytes(300_000) + b"\xff" + bytes(300_000), "8BITMIME"),
    ],
)
async def test_eight_bits_that_nobody_announced_are_announced_to_the_next_server(
    house: House, content: bytes, body: str
) -> None:
    await house.send(content, "alice@example.org", "x@elsewhere.example", info=await alice(house))
    assert await house.store.read(lambda tx: tx.one("SELECT body FROM queue_messages")) == (body,)


async def test_text_without_a_header_becomes_the_body_of_a_message(house: House) -> None:
    info = await alice(house)
    for text in (b"Dear Bob,\r\n\r\nhello\r\n", b"just this\r\n", b""):
        await house.send(text, "alice@example.org", "bob@example.org", info=info)
        message = email.message_from_bytes((await house.inbox("bob@example.org"))[-1])
        assert message["From"] == "<alice@example.org>"
        assert message["Message-ID"]
        assert message.get_payload() == text.decode()
        await house.send(text, "eve@elsewhere.example", "bob@example.org")  # a machine that knows no better
        message = email.message_from_bytes((await house.inbox("bob@example.org"))[-1])
        assert message.keys() == ["Return-Path", "Delivered-To", "Received"]
        assert message.get_payload() == text.decode()


async def test_a_sender_must_belong_to_the_account(house: House) -> None:
    info = await alice(house)
    await house.store.write(add_alias, "sales@example.org", ["alice@example.org"], now=1)
    for address, expected in (
        ("alice@example.org", None),
        ("alice+x@example.org", None),
        ("sales@example.org", None),
        ("", None),
        ("bob@example.org", replies.NOT_YOUR_ADDRESS),
        ("alice@elsewhere.example", replies.NOT_YOUR_ADDRESS),
    ):
        assert await answered(house.room.check_sender(info, path(address), MailParameters())) == expected
    assert await answered(house.room.check_sender(RELAY, path("who@ever.example"), MailParameters())) is None


async def test_who_was_refused_is_welcome_at_once_when_the_reason_is_gone(house: House) -> None:
    assert await house.check("carol@example.org") == replies.NO_SUCH_USER
    await house.store.write(add_account, "carol@example.org", now=1)
    assert await house.check("carol@example.org") is None
    await house.store.write(set_disabled, "carol@example.org", True)
    house.clock.advance(2)
    assert await house.check("carol@example.org") == replies.ACCOUNT_DISABLED
    await house.store.write(set_disabled, "carol@example.org", False)
    assert await house.check("carol@example.org") is None


async def test_reports_come_in_the_senders_language(house: House) -> None:
    info = await alice(house)
    await house.store.write(
        lambda tx: tx.run("UPDATE accounts SET language = 'zh' WHERE address LIKE 'alice@%'")
    )
    await house.send(MESSAGE, "alice@example.org", "you@elsewhere.example", info=info)
    assert await house.store.read(lambda tx: tx.all("SELECT language FROM queue_messages")) == [("zh",)]


async def test_an_alias_forwards_with_a_sender_that_leads_back(house: House) -> None:
    await house.store.write(
        add_alias, "fwd@example.org", ["friend@elsewhere.example", "bob@example.org"], now=1
    )
    assert codes(await house.send(MESSAGE, "eve@third.example", "fwd@example.org")) == [250]
    ((sender, address, content),) = await house.queue()
    assert address == "friend@elsewhere.example"
    assert sender.startswith("SRS0=")
    assert sender.endswith("=third.example=eve@example.org")
    assert content.startswith(b"Delivered-To: fwd@example.org\r\n")
    assert len(await house.inbox("bob@example.org")) == 1
    assert await house.check(sender) is None  # a bounce comes back
    assert codes(await house.send(b"Subject: bounce\r\n\r\n", "", sender)) == [250]
    assert ("", "eve@third.example") in [(sender, address) for sender, address, _ in await house.queue()]
    forged = sender.replace("eve", "adam")
    assert await house.check(forged) == replies.NO_SUCH_USER


@pytest.mark.parametrize(
    "local",
    [
        "bob x",
        'bob" x',
        "a@b",
        " bob",
        "bob ",
        "a\\b",
        "(bob)",
        "b" * 65,
        "bob..x",
        ".bob",
        "bob@example.org",
        "李 四",
    ],
)
async def test_any_local_part_may_be_asked_for(house: House, local: str) -> None:
    """RFC 5321 4.1.2: in quotes there may be anything; here it is nobody's, unless there is a catch-all."""
    stranger = Path(local, "example.org")
    envelope = Envelope(path("eve@elsewhere.example"))
    for expected in (replies.NO_SUCH_USER, None):
        asked = house.room.check_recipient(RELAY, envelope, stranger, RcptParameters())
        assert await answered(asked) == expected
        await house.store.write(add_alias, "@example.org", ["alice@example.org"], now=1)
        house.clock.advance(2)
    message = house.room.open_message()
    await message.write(MESSAGE)
    result = await house.room.accept(RELAY, Envelope(path("eve@e.example"), (Recipient(stranger),)), message)
    assert codes(result) == [250]
    assert len(await house.inbox("alice@example.org")) == 1


async def test_a_bounce_to_a_sender_of_another_domain_of_ours_stays_here(house: House) -> None:
    await house.store.write(add_domain, "second.example", now=1)
    await house.store.write(add_alias, "fwd@second.example", ["friend@elsewhere.example"], now=1)
    await house.send(MESSAGE, "alice@example.org", "fwd@second.example")  # by way of another server
    ((sender, _, _),) = await house.queue()
    assert sender.endswith("=example.org=alice@second.example")
    assert codes(await house.send(MESSAGE, "", sender)) == [250]
    assert len(await house.inbox("alice@example.org")) == 1
    assert len(await house.queue()) == 1
    await house.store.write(remove_account, "alice@example.org")
    house.clock.advance(2)
    assert await house.check(sender) == replies.NO_SUCH_USER


@pytest.mark.parametrize("local", ["john doe", 'a"b', "a@b", "a" * 60, "bounces+1234-5678-alice=example.org"])
async def test_what_must_be_quoted_leaves_and_comes_back_whole(house: House, local: str) -> None:
    sender = Path(local, "a.long.name.third.example")
    await house.store.write(add_alias, "fwd@example.org", ["friend@elsewhere.example"], now=1)
    await house.store.write(add_alias, "@example.org", ["bob@example.org"], now=1)  # bounces are not for it
    message = house.room.open_message()
    await message.write(MESSAGE)
    envelope = Envelope(sender, (Recipient(path("fwd@example.org")),))
    assert codes(await house.room.accept(RELAY, envelope, message)) == [250]
    ((rewritten, _, _),) = await house.queue()
    back = parse_mailbox(rewritten, True)
    assert await answered(house.room.check_recipient(RELAY, envelope, back, RcptParameters())) is None
    bounce = house.room.open_message()
    await bounce.write(MESSAGE)
    assert codes(await house.room.accept(RELAY, Envelope(path(""), (Recipient(back),)), bounce)) == [250]
    assert str(sender) in [address for _, address, _ in await house.queue()]
    assert await house.inbox("bob@example.org") == []


async def test_our_users_may_write_to_what_must_be_quoted(house: House) -> None:
    info = await alice(house)
    friend = Path("john doe", "elsewhere.example")
    message = house.room.open_message()
    await message.write(MESSAGE)
    envelope = Envelope(path("alice@example.org"), (Recipient(friend),))
    assert codes(await house.room.accept(info, envelope, message)) == [250]
    ((_, address, _),) = await house.queue()
    assert parse_mailbox(address) == friend


async def test_an_address_that_refused_before_is_not_tried_again(house: House) -> None:
    info = await alice(house)
    assert info.account is not None
    found = Suppression(info.account.id, "gone@elsewhere.example", house.clock.now(), "550 no such user")
    await house.store.write(suppress, found)
    refusal = await house.check("Gone@elsewhere.example", info)
    assert refusal is not None
    assert (refusal.code, refusal.enhanced) == (550, "5.1.1")
    assert "no such user" in refusal.lines[0]
    assert await house.check("other@elsewhere.example", info) is None


async def test_a_message_without_an_author_is_of_whoever_logged_in(house: House) -> None:
    for sender in ("alice+x@example.org", ""):
        await house.send(b"Subject: x\r\n\r\nhi\r\n", sender, "bob@example.org", info=await alice(house))
    first, second = await house.inbox("bob@example.org")
    assert b"\r\nFrom: <alice+x@example.org>\r\n" in first
    assert b"\r\nFrom: <alice@example.org>\r\n" in second


async def test_loops_are_refused(house: House) -> None:
    hops = b"".join(b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" for _ in range(6))
    assert codes(await house.send(hops + MESSAGE, "", "alice@example.org")) == [554]
    assert codes(await house.send(hops[:-60] + MESSAGE, "", "alice@example.org")) == [250]
    await house.store.write(add_alias, "fwd@example.org", ["friend@elsewhere.example"], now=1)
    came_back = b"Delivered-To: FWD@example.org\r\n" + MESSAGE
    assert codes(await house.send(came_back, "", "fwd@example.org")) == [554]
    assert codes(await house.send(hops, "", "alice@example.org")) == [554]  # nothing but a header


async def test_what_our_users_send_is_signed(house: House) -> None:
    folder = house.keys / "example.org"
    folder.mkdir(parents=True)
    for algorithm, name in (("rsa-sha256", "r1"), ("ed25519-sha256", "e1")):
        (folder / f"{name}.pem").write_bytes(dump_private_key(generate_key(algorithm)))
    raw = b"From: Alice <alice@example.org>\r\n\r\nhi\r\n"
    await house.send(raw, "alice@example.org", "you@elsewhere.example", info=await alice(house))
    await house.send(MESSAGE, "eve@elsewhere.example", "alice@example.org")
    ((_, _, content),) = await house.queue()
    assert content.startswith(b"DKIM-Signature: ")
    assert re.findall(rb"\bs=(\w+);", content) == [b"e1", b"r1"]
    (received,) = await house.inbox("alice@example.org")
    assert b"DKIM-Signature" not in received


@pytest.mark.parametrize("domain", ["例子.测试", "xn--fsqu00a.xn--0zwm56d"])
async def test_the_author_may_write_the_domain_either_way(house: House, domain: str) -> None:
    folder = house.keys / "xn--fsqu00a.xn--0zwm56d"
    folder.mkdir(parents=True)
    (folder / "e1.pem").write_bytes(dump_private_key(generate_key("ed25519-sha256")))
    await house.store.write(add_domain, "例子.测试", now=1)
    added = await house.store.write(add_account, "老王@例子.测试", now=1)
    info = submission(added.id, added.address)
    raw = f"From: 老王@{domain}\r\n\r\nhi\r\n".encode()
    for _ in range(2):  # the keys are looked for, then remembered
        await house.send(raw, added.address, "you@elsewhere.example", info=info)
    for _, _, content in await house.queue():
        assert re.findall(rb"\bd=([\w.-]+);", content) == [b"xn--fsqu00a.xn--0zwm56d"]


@pytest.mark.parametrize(
    ("author", "signer"),
    [
        (b"carol@other.example", b"example.org"),  # whose domain this server has too
        (b"sales@other.example", b"other.example"),  # an alias that leads to alice
        (b"bob@example.org", b"example.org"),
        (b"x@elsewhere.example", b"example.org"),
    ],
)
async def test_nobody_signs_as_a_domain_that_is_not_theirs(
    house: House, author: bytes, signer: bytes
) -> None:
    for domain in ("example.org", "other.example"):
        (house.keys / domain).mkdir(parents=True)
        (house.keys / domain / "e1.pem").write_bytes(dump_private_key(generate_key("ed25519-sha256")))
    await house.store.write(add_domain, "other.example", now=1)
    await house.store.write(add_account, "carol@other.example", now=1)
    await house.store.write(add_alias, "sales@other.example", ["alice@example.org"], now=1)
    raw = b"From: " + author + b"\r\n\r\nhi\r\n"
    await house.send(raw, "alice@example.org", "you@elsewhere.example", info=await alice(house))
    ((_, _, content),) = await house.queue()
    assert re.findall(rb"\bd=([\w.]+);", content) == [signer]


@pytest.mark.parametrize(
    ("with_key", "author", "signers"),
    [
        ("other.example", b"sales@other.example", [b"other.example"]),
        ("other.example", b"carol@other.example", []),
        ("example.org", b"sales@other.example", []),  # it is alice's, and its domain does not sign
        ("example.org", b"x@elsewhere.example", [b"example.org"]),
    ],
)
async def test_who_signs_where_only_one_domain_has_a_key(
    house: House, with_key: str, author: bytes, signers: list[bytes]
) -> None:
    (house.keys / with_key).mkdir(parents=True)
    (house.keys / with_key / "e1.pem").write_bytes(dump_private_key(generate_key("ed25519-sha256")))
    await house.store.write(add_domain, "other.example", now=1)
    await house.store.write(add_account, "carol@other.example", now=1)
    await house.store.write(add_alias, "sales@other.example", ["alice@example.org"], now=1)
    raw = b"From: " + author + b"\r\n\r\nhi\r\n"
    info = await alice(house)
    for _ in range(2):  # the keys are looked for, then remembered
        await house.send(raw, "alice@example.org", "you@elsewhere.example", info=info)
    found = [re.findall(rb"\bd=([\w.]+);", content) for _, _, content in await house.queue()]
    assert found == [signers, signers]


async def test_addresses_elsewhere_that_we_would_not_give_out(house: House) -> None:
    info = await alice(house)
    for address in ("x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "v" * 70 + "@elsewhere.example"):
        assert await house.check(address, info) is None
        refusal = await house.check(address)
        assert refusal is not None
        assert (refusal.code, refusal.enhanced) == (550, "5.7.1")
        assert codes(await house.send(MESSAGE, "alice@example.org", address, info=info)) == [250]
    assert sorted(address for _, address, _ in await house.queue()) == [
        "v" * 70 + "@elsewhere.example",
        "x@[192.0.2.1]",
        "x@[IPv6:2001:db8::1]",
    ]


async def test_a_large_message_is_mended_and_kept_whole(house: House) -> None:
    body = b"".join(b"%d\r\n" % number for number in range(100_000))
    raw = b"From: alice@example.org\r\nBcc: x@y.example\r\n\r\n" + body
    await house.send(raw, "alice@example.org", "bob@example.org", info=await alice(house))
    (content,) = await house.inbox("bob@example.org")
    assert content.endswith(b"From: alice@example.org\r\n\r\n" + body)
    assert b"Bcc" not in content


@pytest.mark.parametrize(
    "sender", ["a" * 65 + "@example.org", "with space@example.org", "x@" + "y" * 70 + ".example"]
)
async def test_a_sender_that_can_be_nobodys_is_refused_for_good(house: House, sender: str) -> None:
    info = await alice(house)
    refusal = await answered(house.room.check_sender(info, path(sender), MailParameters()))
    assert refusal is not None
    assert refusal.code == 553


@pytest.mark.parametrize("author", [b"x" * 300, b"a\0b", b"../../x", b"/etc", b"[1.2.3.4]"])
async def test_a_strange_domain_of_the_author_is_no_reason_to_fail(house: House, author: bytes) -> None:
    (house.keys / "example.org").mkdir(parents=True)
    content = b"From: <a@" + author + b">\r\n\r\nx\r\n"
    info = await alice(house)
    assert codes(await house.send(content, "alice@example.org", "x@elsewhere.example", info=info)) == [250]


# The record


async def told(house: House, what: str) -> list[story.Story]:
    await house.room.refusals.flush()
    return await house.store.read(story.find, what, 10)


async def test_each_message_has_a_record_by_the_id_in_its_250(house: House) -> None:
    result = await house.send(MESSAGE, "eve@elsewhere.example", "alice+x@example.org", "bob@example.org")
    reply = result if isinstance(result, Reply) else result[0]
    mail_id = reply.lines[0].rpartition(" ")[2]
    (found,) = await told(house, mail_id)
    assert found.reception is not None
    assert found.reception.recipients == ("alice+x@example.org", "bob@example.org")
    assert [(kept.account, kept.mailbox) for kept in found.reception.kept] == [
        ("alice@example.org", "INBOX"),
        ("bob@example.org", "INBOX"),
    ]
    assert [(verdict.name, verdict.verdict) for verdict in found.reception.verdicts] == [("loop", "pass")]
    assert found.records == ()
    assert "Came from 192.0.2.9:4711 (client.example) by ESMTP, without TLS" in story.tell(found)


async def test_the_record_leads_on_into_the_queue(house: House) -> None:
    content = b"Message-ID: <q1@example.org>\r\n" + MESSAGE
    info = await alice(house)
    await house.send(content, "alice@example.org", "bob@example.org", "carol@c.example", info=info)
    (found,) = await told(house, "q1@example.org")
    assert found.reception is not None
    assert found.reception.account == "alice@example.org"
    assert found.reception.tls == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert [kept.account for kept in found.reception.kept] == ["bob@example.org"]
    (record,) = found.records
    assert found.reception.queue == (record.id,)
    assert await told(house, str(record.id)) == [found]
    assert await told(house, "carol@c.example") == [found]


async def test_what_is_refused_has_a_record_too(house: House) -> None:
    await house.send(b"Received: x\r\n" * 6 + MESSAGE, "eve@elsewhere.example", "alice@example.org")
    await house.check("nobody@example.org")
    (looping,) = await told(house, "alice@example.org")
    assert looping.reception is not None
    assert looping.reception.reply.startswith("554 5.4.6 ")
    assert [(v.name, v.verdict) for v in looping.reception.verdicts] == [("loop", "refuse")]
    (unknown,) = await told(house, "nobody@example.org")
    assert unknown.reception is not None
    assert unknown.reception.reply.startswith("550 5.1.1 ")
    assert unknown.reception.sender == "eve@elsewhere.example"
    assert len(await told(house, "eve@elsewhere.example")) == 2


# Recipients that go away between RCPT and the end of the message


async def test_when_one_of_several_went_away_nothing_is_kept_for_the_others(house: House) -> None:
    """SMTP has one reply for all: with a failure the sender tries again, and alice would have it twice."""
    await house.store.write(set_disabled, "bob@example.org", True)
    content = b"Message-ID: <gone@e.example>\r\n" + MESSAGE
    result = await house.send(content, "eve@e.example", "alice@example.org", "bob@example.org")
    assert set(codes(result)) == {451}
    assert await house.inbox("alice@example.org") == []
    (found,) = await told(house, "alice@example.org")
    assert "Answered: 451 4.2.1 A recipient was removed" in story.tell(found)
    assert await house.check("bob@example.org") == replies.ACCOUNT_DISABLED  # what the next try is told
    assert codes(await house.send(content, "eve@e.example", "alice@example.org")) == [250]
    assert len(await house.inbox("alice@example.org")) == 1


async def test_when_all_went_away_the_reply_says_so(house: House) -> None:
    await house.store.write(set_disabled, "bob@example.org", True)
    assert await house.send(MESSAGE, "", "bob@example.org") == [replies.ACCOUNT_DISABLED]
    (found,) = await told(house, "bob@example.org")
    assert "Answered: 550 5.2.1" in story.tell(found)


async def test_lmtp_tells_of_each_recipient_that_went_away(house: House) -> None:
    await house.store.write(set_disabled, "bob@example.org", True)
    lmtp = RELAY._replace(role=Role.LMTP)
    result = await house.send(MESSAGE, "", "alice@example.org", "bob@example.org", info=lmtp)
    assert codes(result) == [250, 550]
    assert len(await house.inbox("alice@example.org")) == 1
    (found,) = await told(house, "bob@example.org")
    assert "Check recipient: refuse (bob@example.org: This account is disabled" in story.tell(found)


@pytest.mark.parametrize(("role", "expected", "kept"), [(Role.RELAY, [451], 0), (Role.LMTP, [250, 451], 1)])
async def test_an_account_that_is_removed_while_its_mail_is_being_kept(
    house: House, role: Role, expected: list[int], kept: int
) -> None:
    for name in ("alice", "bob"):
        assert await house.check(f"{name}@example.org") is None  # and that is remembered for a second
    await house.store.write(remove_account, "bob@example.org")
    info = RELAY._replace(role=role)
    result = await house.send(MESSAGE, "", "alice@example.org", "bob@example.org", info=info)
    assert codes(result) == expected
    assert len(await house.inbox("alice@example.org")) == kept


async def test_nothing_is_relayed_for_strangers_because_its_domain_went_away(house: House) -> None:
    await house.store.write(add_domain, "left.example", now=1)
    await house.store.write(add_account, "carol@left.example", now=1)
    assert await house.check("carol@left.example") is None
    await house.store.write(remove_account, "carol@left.example")
    await house.store.write(remove_domain, "left.example")
    house.clock.advance(2)
    assert await house.send(MESSAGE, "", "carol@left.example") == [replies.RELAY_DENIED]
    assert await house.queue() == []


@pytest.mark.parametrize("role", [Role.RELAY, Role.LMTP])
async def test_a_full_account_behind_an_alias_loses_nothing_that_its_sender_is_told_is_kept(
    house: House, role: Role
) -> None:
    """Neither can it be refused, for the other account would get it twice."""
    await house.store.write(add_alias, "both@example.org", ["alice@example.org", "bob@example.org"], now=1)
    await house.store.write(set_quota, "alice@example.org", 1000)
    info = RELAY._replace(role=role)
    assert await house.check("both@example.org", size=2000) == replies.OVER_QUOTA  # but who tells is told
    assert codes(await house.send(MESSAGE + bytes(2000), "", "both@example.org", info=info)) == [250]
    for name in ("alice", "bob"):
        assert len(await house.inbox(f"{name}@example.org")) == 1


# Hooks


@on(SenderGiven)
def no_evil(event: SenderGiven) -> Refuse | None:
    return Refuse("We do not take mail from evil", 550) if event.sender.endswith("@evil.example") else None


@on(RecipientGiven)
async def closed_at_night(event: RecipientGiven) -> Refuse | None:
    return Refuse("Nobody is in", 450) if event.recipient == "bob@example.org" else None


@on(MessageArrived)
def by_subject(event: MessageArrived) -> object:
    assert b"".join(event.read()).startswith(event.header)
    if b"Subject: virus" in event.header:
        return Refuse("This is a virus", enhanced="5.7.13")
    if b"Subject: spam" in event.header:
        return [Tag((("X-Spam", "yes, \u5783\u573e"),), ("$Junk", "\\Seen", "$junk"))]
    if b"Subject: away" in event.header:
        return Redirect(("bob@example.org", "bob@elsewhere.example"))
    if b"Subject: drop" in event.header:
        return Redirect(())
    if b"Subject: lost" in event.header:
        return Redirect(("nobody@example.org",))
    return None


heard: list[object] = []


@on(Delivered)
@on(Queued)
async def listen(event: object) -> None:
    heard.append(event)


@pytest.fixture
async def hooked(tmp_path: FilePath) -> AsyncIterator[House]:
    heard.clear()
    functions = (no_evil, closed_at_night, by_subject, listen)
    found = [
        Hook(function.__name__, function, to, function in (closed_at_night, listen))
        for function in functions
        for to in getattr(function, "mailwright_hooks", ())
    ]
    async with open_store(tmp_path) as store:
        await store.write(add_domain, "example.org", now=1)
        for name in ("alice", "bob"):
            await store.write(add_account, f"{name}@example.org", now=1)
        yield House(store, tmp_path, Hooks(found))


def about(subject: str) -> bytes:
    return MESSAGE.replace(b"Subject: hi", b"Subject: " + subject.encode())


async def test_hooks_may_refuse_a_sender_and_a_recipient(hooked: House) -> None:
    refusal = await answered(hooked.room.check_sender(RELAY, path("x@evil.example"), MailParameters()))
    assert refusal == Reply(550, "5.7.1", ("We do not take mail from evil",))
    assert await answered(hooked.room.check_sender(RELAY, path("x@good.example"), MailParameters())) is None
    assert await hooked.check("bob@example.org") == Reply(450, "4.7.1", ("Nobody is in",))
    assert await hooked.check("alice@example.org") is None
    (found,) = await told(hooked, "x@evil.example")
    assert "Check no_evil: refuse (We do not take mail from evil)." in story.tell(found)


async def test_hooks_may_refuse_a_message(hooked: House) -> None:
    result = await hooked.send(about("virus"), "eve@e.example", "alice@example.org")
    assert result == Reply(550, "5.7.13", ("This is a virus",))
    assert await hooked.inbox("alice@example.org") == []
    (found,) = await told(hooked, "alice@example.org")
    assert "Check by_subject: refuse (This is a virus)." in story.tell(found)


async def test_hooks_may_tag_a_message(hooked: House) -> None:
    await hooked.send(about("spam"), "eve@e.example", "alice@example.org")
    (content,) = await hooked.inbox("alice@example.org")
    head = content.partition(b"Received: ")[0]
    assert b"\r\nX-Spam: =?utf-8?" in head.replace(b"UTF-8", b"utf-8")
    marks = await hooked.store.read(lambda tx: tx.all("SELECT flags, keywords FROM marked"))
    assert marks == [(1, "$Junk")]


async def test_hooks_may_send_a_message_elsewhere(hooked: House) -> None:
    assert codes(await hooked.send(about("away"), "eve@e.example", "alice@example.org")) == [250]
    assert await hooked.inbox("alice@example.org") == []
    assert len(await hooked.inbox("bob@example.org")) == 1
    ((sender, address, content),) = await hooked.queue()
    assert address == "bob@elsewhere.example"
    assert sender.endswith("@example.org"), "as when an alias forwards: rewritten"
    assert content.startswith(b"Delivered-To: alice@example.org\r\n")
    await hooked.room._hooks.drain()
    assert [type(event) for event in heard] == [Delivered, Queued]


async def test_what_our_user_sends_leaves_with_the_users_own_sender_wherever_a_hook_sends_it(
    hooked: House,
) -> None:
    info = await alice(hooked)
    sent = await hooked.send(about("away"), "alice@example.org", "you@third.example", info=info)
    assert codes(sent) == [250]
    assert [row[:2] for row in await hooked.queue()] == [("alice@example.org", "bob@elsewhere.example")]


async def test_a_message_that_a_hook_throws_away_is_told_of(hooked: House) -> None:
    assert codes(await hooked.send(about("drop"), "eve@e.example", "alice@example.org")) == [250]
    (found,) = await told(hooked, "alice@example.org")
    assert "Check by_subject: redirect (nobody)." in story.tell(found)


async def test_a_redirection_to_nowhere_keeps_the_message_with_its_sender(hooked: House) -> None:
    assert codes(await hooked.send(about("lost"), "eve@e.example", "alice@example.org")) == [451]


async def test_who_asks_for_success_is_told_that_the_message_is_in_the_mailbox(house: House) -> None:
    wish = ("SUCCESS", "FAILURE")
    assert codes(await house.send(MESSAGE, "bob@example.org", "alice@example.org", notify=wish)) == [250]
    (report,) = await house.inbox("bob@example.org")
    assert b"Return-Path: <>\r\n" in report
    assert b"Original-Envelope-Id: E1\r\n" in report
    assert b"Final-Recipient: rfc822; alice@example.org\r\nAction: delivered\r\nStatus: 2.1.5\r\n" in report
    assert b"Subject: hi\r\n" in report
    assert b"body" not in report
    twice = ("alice@example.org", "bob@example.org", "alice@example.org")
    await house.send(MESSAGE, "eve@elsewhere.example", *twice, notify=wish)
    ((sender, address, report),) = await house.queue()
    assert (sender, address) == ("", "eve@elsewhere.example")
    assert report.count(b"Action: delivered") == 2


async def test_who_answers_a_report_reaches_somebody(house: House) -> None:
    """RFC 3464 2."""
    await house.send(MESSAGE, "eve@elsewhere.example", "alice@example.org", notify=("SUCCESS",))
    ((_, _, report),) = await house.queue()
    answer_to = email.message_from_bytes(report, policy=email.policy.default)["From"].addresses[0]
    assert await house.check(answer_to.addr_spec) is None


async def test_success_is_told_in_the_senders_language_and_at_once(house: House) -> None:
    await house.store.write(lambda tx: tx.run("UPDATE accounts SET language = 'zh'"))
    heard: list[int] = []
    house.store.notify.subscribe(QUEUE, lambda subject, _: heard.append(subject))
    info = await alice(house)
    await house.send(MESSAGE, "alice@example.org", "bob@example.org", info=info, notify=("SUCCESS",))
    (report,) = await house.inbox("alice@example.org")
    text = email.message_from_bytes(report, policy=email.policy.default).get_body()
    assert text is not None
    assert "您的邮件" in text.get_content()
    assert not heard
    await house.send(MESSAGE, "eve@elsewhere.example", "alice@example.org", notify=("SUCCESS",))
    ((_, _, report),) = await house.queue()
    assert b"Your message" in report
    assert heard == [QUEUE]


@pytest.mark.parametrize(
    ("targets", "wish", "left", "action"),
    [
        # RFC 3461 5.2.7.2
        (["a@b.example"], ("SUCCESS", "DELAY"), "SUCCESS,DELAY", b""),
        # RFC 3461 5.2.7.3 (c)
        (["a@b.example", "c@d.example"], ("SUCCESS", "DELAY"), "DELAY", b"expanded"),
        (["a@b.example", "alice@example.org"], ("SUCCESS",), "NEVER", b"expanded"),
        (["a@b.example", "alice@example.org"], ("NEVER",), "NEVER", b""),
        (["a@b.example", "alice@example.org"], (), "", b""),
    ],
)
async def test_success_of_an_alias_is_told_once(
    house: House, targets: list[str], wish: tuple[str, ...], left: str, action: bytes
) -> None:
    await house.store.write(add_alias, "team@example.org", targets, now=1)
    await house.send(MESSAGE, "bob@example.org", "team@example.org", notify=wish)
    rows = await house.store.read(lambda tx: tx.all("SELECT address, notify FROM queue_recipients"))
    remote = [target for target in targets if not target.endswith("@example.org")]
    assert sorted((address, notify_to_text(notify)) for address, notify in rows) == [
        (target, left) for target in remote
    ]
    reports = await house.inbox("bob@example.org")
    assert [b"Action: " + action in report for report in reports] == ([True] if action else [])
    assert all(b"Final-Recipient: rfc822; team@example.org\r\n" in report for report in reports)


@pytest.mark.parametrize(
    ("sender", "notify", "role"),
    [
        ("", ("SUCCESS",), Role.RELAY),  # never a report about a report
        ("bob@example.org", ("FAILURE",), Role.RELAY),
        ("bob@example.org", ("SUCCESS",), Role.LMTP),  # the server in front tells
    ],
)
async def test_nobody_else_is_told_of_success(
    house: House, sender: str, notify: tuple[str, ...], role: Role
) -> None:
    info = RELAY._replace(role=role)
    assert codes(await house.send(MESSAGE, sender, "alice@example.org", info=info, notify=notify)) == [250]
    assert not await house.inbox("bob@example.org")
    assert not await house.queue()


async def test_a_stranger_is_told_of_few(house: House) -> None:
    """The sender may be forged: whoever that is gets one report, however many recipients a message has."""
    many = [f"alice+{number}@example.org" for number in range(60)]
    await house.send(MESSAGE, "eve@elsewhere.example", *many, notify=("SUCCESS",))
    ((_, _, report),) = await house.queue()
    assert report.count(b"Action: delivered") == 25


async def test_what_found_no_room_is_no_success(house: House) -> None:
    await house.store.write(set_quota, "alice@example.org", 10)
    sent = await house.send(MESSAGE, "bob@example.org", "alice@example.org", notify=("SUCCESS",))
    assert codes(sent) == [452]
    assert not await house.inbox("bob@example.org")
