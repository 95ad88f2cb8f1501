"""One attempt against real sockets: what the peer sees, and what comes of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from support.demo import free_port
from support.peer import EXTENSIONS, Authority, Peer, Taken
from support.queues import CONTENT
from support.simulation import InlineDatabase

from mailwright.base.clock import SystemClock
from mailwright.dns.mock import MockResolver
from mailwright.queue import opening, trace, wire
from mailwright.queue.attempt import SMTPTransport
from mailwright.queue.carrier import Attempt
from mailwright.queue.dsn import Origin
from mailwright.queue.hosts import HostFinder, NoHosts
from mailwright.queue.model import Claimed, Rules
from mailwright.queue.opening import Settings
from mailwright.queue.planner import FRESH, Lane
from mailwright.queue.reports import Reports
from mailwright.queue.routes import Route, Router
from mailwright.queue.security import says_optional
from mailwright.queue.sts import FetchError, Policies
from mailwright.queue.tlsreports import DAY, TLSReports, read_results
from mailwright.queue.values import Message, Outcome, Recipient
from mailwright.store.blobs.database import DatabaseBlobs

CHUNKING = (*EXTENSIONS, "CHUNKING")
MESSAGE = Message(
    1, 0, 1, len(CONTENT), "alice@us.example", "", "", "7BIT", False, False, "en", 1.8e9, 1.9e9, CONTENT
)


@pytest.fixture(autouse=True)
def _few_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read all that the system trusts takes longer than most tests, and none of it is met here."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)


@dataclass
class Net:
    """A transport in a small world."""

    resolver: MockResolver
    port: int
    routes: tuple[Route, ...] = ()
    authorities: str | None = None
    policy: bytes | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.db = InlineDatabase()

        async def fetch(url: str) -> bytes:
            if self.policy is None:
                raise FetchError("sts-policy-fetch-error", f"{url} is not there")
            return self.policy

        self.transport = SMTPTransport(
            self.db,  # type: ignore[arg-type]
            HostFinder(self.resolver, ours=("mx.us.example",)),
            clock,
            Settings("mx.us.example", self.port, authorities=self.authorities),
            router=Router(self.routes),
            policies=Policies(self.db, self.resolver, clock, fetch),  # type: ignore[arg-type]
            **self.more,
        )

    async def send(self, *addresses: str, destination: str = "b.example", **changes: Any) -> Attempt:
        carrier = self.transport.carrier(destination)
        try:
            return await carrier.deliver(claimed(*addresses or ("bob@b.example",), **changes))
        finally:
            carrier.close()


def claimed(*addresses: str, notify: int = 0, orcpt: str = "", **changes: Any) -> Claimed:
    message = MESSAGE._replace(**changes)
    if message.content is not None:
        message = message._replace(size=len(message.content))
    recipients = tuple(Recipient(n, a, orcpt, notify, 0, False) for n, a in enumerate(addresses))
    return Claimed(Lane(FRESH, 0, "b.example"), message, recipients)


def zone(**more: dict[str, list[str]]) -> MockResolver:
    return MockResolver(
        {"b.example": {"MX": ["10 mx.b.example"]}, "mx.b.example": {"A": ["127.0.0.1"]}, **more}
    )


def outcomes(attempt: Attempt) -> list[tuple[str, str, str]]:
    return [(result.outcome.value, result.phase, result.status) for result in attempt.results]


async def test_a_message_arrives_as_it_is() -> None:
    content = CONTENT + b".a dot\r\n..two\r\nno end of line"
    async with Peer() as peer:
        done = await Net(zone(), peer.port).send("bob@b.example", "carol@b.example", content=content)
    assert outcomes(done) == [("sent", "content", "2.0.0")] * 2
    assert done.reached
    assert [taken.content for taken in peer.taken] == [content + b"\r\n"]
    assert peer.lines[:2] == ["EHLO mx.us.example", f"MAIL FROM:<alice@us.example> SIZE={len(content)}"]
    assert done.event["host"] == "mx.b.example"
    assert "S: 250 2.0.0 kept" in done.event["lines"]  # type: ignore[operator]


async def test_without_dsn_it_is_relayed_and_with_it_the_wishes_travel() -> None:
    wishes: dict[str, Any] = {"notify": 3, "orcpt": "rfc822;Bob+x@old.example", "envid": "E 1", "ret": "HDRS"}
    async with Peer() as peer:
        done = await Net(zone(), peer.port).send(**wishes)
        assert done.results[0].outcome is Outcome.SENT
        assert "RET=HDRS ENVID=E+201" in peer.taken[0].mail
        assert "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@old.example" in peer.taken[0].recipients[0]
    async with Peer(extensions=("PIPELINING",)) as peer:
        done = await Net(zone(), peer.port).send(**wishes)
        assert done.results[0].outcome is Outcome.RELAYED
        assert "RET" not in peer.taken[0].mail


@pytest.mark.parametrize("extensions", [EXTENSIONS, ("8BITMIME",), (*EXTENSIONS, "CHUNKING")])
async def test_each_recipient_has_its_own_result(extensions: tuple[str, ...]) -> None:
    replies: Any = {
        "RCPT TO:<no@": b"550 5.1.1 no such user\r\n",
        "RCPT TO:<later@": b"450 4.2.1 come again\r\n",
    }
    async with Peer(extensions=extensions, replies=replies) as peer:
        done = await Net(zone(), peer.port).send("no@b.example", "yes@b.example", "later@b.example")
    assert [result.outcome for result in done.results] == [
        Outcome.FAILED,
        Outcome.SENT if "DSN" in extensions else Outcome.RELAYED,
        Outcome.DEFERRED,
    ]
    assert done.results[0].text == "550 5.1.1 no such user"
    assert len(peer.taken) == 1


@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_when_every_recipient_is_refused_the_next_message_still_goes(
    extensions: tuple[str, ...],
) -> None:
    async with Peer(extensions=extensions, replies={"RCPT TO:<no@": b"550 5.1.1 no\r\n"}) as peer:
        net = Net(zone(), peer.port)
        carrier = net.transport.carrier("b.example")
        assert outcomes(await carrier.deliver(claimed("no@b.example"))) == [("failed", "rcpt", "5.1.1")]
        assert (await carrier.deliver(claimed("yes@b.example"))).results[0].outcome in (
            Outcome.SENT,
            Outcome.RELAYED,
        )
        carrier.close()
        assert peer.connections == 1


@pytest.mark.parametrize(
    ("begin", "reply", "expected"),
    [
        ("MAIL", b"451 4.3.0 trouble\r\n", ("deferred", "mail", "4.3.0")),
        ("MAIL", b"552 too big\r\n", ("failed", "mail", "5.0.0")),
        ("RCPT", b"550 5.7.1 not you\r\n", ("failed", "rcpt", "5.7.1")),
        ("DATA", b"451 4.7.1 greylisted\r\n", ("deferred", "data", "4.7.1")),
        ("DATA", b"554 5.5.1 no\r\n", ("failed", "data", "5.5.1")),
        ("DATA", b"250 2.0.0 what is that\r\n", ("deferred", "data", "4.0.0")),
        ("MAIL", b"421 4.3.2 closing\r\n", ("deferred", "mail", "4.3.2")),
    ],
)
async def test_a_refusal_is_told_by_its_phase(
    begin: str, reply: bytes, expected: tuple[str, str, str]
) -> None:
    async with Peer(replies={begin: reply}) as peer:
        done = await Net(zone(), peer.port).send()
    assert outcomes(done) == [expected]
    assert done.reached


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        (b"451 4.7.1 try later\r\n", ("deferred", "content", "4.7.1")),
        (b"554 5.7.1 spam\r\n", ("failed", "content", "5.7.1")),
    ],
)
async def test_a_refusal_after_the_dot(final: bytes, expected: tuple[str, str, str]) -> None:
    async with Peer(final=final) as peer:
        assert outcomes(await Net(zone(), peer.port).send()) == [expected]


async def test_a_connection_lost_after_the_dot_is_tried_again_and_says_so() -> None:
    async with Peer(lose_after_dot=True) as peer:
        done = await Net(zone(), peer.port).send()
    assert outcomes(done) == [("deferred", "content", "4.4.2")]
    assert "may have been delivered" in done.results[0].text
    assert done.reached
    assert not done.again


async def test_too_many_recipients_go_in_further_transactions() -> None:
    def rcpt(line: str, seen: list[str] = []) -> bytes:  # noqa: B006 - counts on purpose
        seen.append(line)
        return b"452 4.5.3 too many\r\n" if len(seen) in (3, 4) else b"250 2.1.5 ok\r\n"

    async with Peer(replies={"RCPT": rcpt}) as peer:
        done = await Net(zone(), peer.port).send(*(f"u{n}@b.example" for n in range(5)))
        assert [result.outcome for result in done.results] == [Outcome.SENT] * 5
        assert [len(taken.recipients) for taken in peer.taken] == [3, 2]
    async with Peer(extensions=(*EXTENSIONS, "LIMITS RCPTMAX=2")) as peer:
        await Net(zone(), peer.port).send(*(f"u{n}@b.example" for n in range(5)))
        assert [len(taken.recipients) for taken in peer.taken] == [2, 2, 1]


async def test_the_next_message_waits_for_all_transactions_of_this_one() -> None:
    """Else the envelope of the second transaction would be content of the next message."""
    async with Peer(extensions=(*EXTENSIONS, "LIMITS RCPTMAX=2")) as peer:
        net = Net(zone(), peer.port)
        carrier = net.transport.carrier("b.example")
        first = claimed(*(f"u{n}@b.example" for n in range(3)))
        second = claimed("carol@b.example", content=CONTENT + b"another\r\n")
        for now, ahead in ((first, second), (second, None)):
            done = await carrier.deliver(now, ahead)
            assert outcomes(done) == [("sent", "content", "2.0.0")] * len(now.recipients)
        carrier.close()
    assert [(len(taken.recipients), taken.content) for taken in peer.taken] == [
        (2, CONTENT),
        (1, CONTENT),
        (1, CONTENT + b"another\r\n"),
    ]


async def test_a_connection_is_used_again_also_by_another_carrier() -> None:
    async with Peer() as peer:
        net = Net(zone(), peer.port)
        for _ in range(5):
            await net.send()
        assert peer.connections == 1
        assert len(peer.taken) == 5
        await net.transport.close()
        async with asyncio.timeout(60):
            while peer.lines[-1] != "QUIT":
                await asyncio.sleep(0.01)


async def test_a_connection_stays_until_the_peer_has_said_goodbye() -> None:
    """RFC 5321 4.1.1.10."""
    ended: list[bytes | str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 5.3.2 no mail here\r\n")
        ended.append(await reader.readline())
        await asyncio.sleep(0.2)
        ended.append(str(reader.at_eof()))
        writer.write(b"221 2.0.0 bye\r\n")
        ended.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        done = await Net(zone(), server.sockets[0].getsockname()[1]).send()
        async with asyncio.timeout(60):
            while len(ended) < 3:
                await asyncio.sleep(0.01)
    assert outcomes(done) == [("failed", "greeting", "5.3.2")]
    assert ended == [b"QUIT\r\n", "False", b""]


async def test_two_domains_of_one_host_share_connections() -> None:
    async with Peer() as peer:
        net = Net(zone(**{"c.example": {"MX": ["5 mx.b.example"]}}), peer.port)
        await net.send()
        await net.send("carol@c.example", destination="c.example")
        assert peer.connections == 1


async def test_a_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    async with Peer(most_messages=1) as peer:
        net = Net(zone(), peer.port)
        for _ in range(3):
            assert outcomes(await net.send()) == [("sent", "content", "2.0.0")]
            await asyncio.sleep(0.01)
        assert peer.connections == 3


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (("PIPELINING", "8BITMIME"), {"smtputf8": True, "reverse_path": "büro@us.example"}),
        (("PIPELINING", "SIZE 10"), {}),
    ],
)
async def test_what_the_peer_offered_long_ago_refuses_nothing(
    before: tuple[str, ...], changes: dict[str, Any]
) -> None:
    """A waiting connection may be of a server that has been replaced since."""
    async with Peer(extensions=before) as peer:
        net = Net(zone(), peer.port)
        tiny = await net.send(content=b"x\r\n\r\n")
        assert tiny.results[0].outcome is Outcome.RELAYED
        peer.extensions = EXTENSIONS
        done = await net.send(**changes)
    assert done.results[0].outcome is Outcome.SENT
    assert peer.connections == 2


async def test_a_refusal_by_what_the_peer_offers_now_stands() -> None:
    async with Peer(extensions=("PIPELINING", "SIZE 10")) as peer:
        net = Net(zone(), peer.port)
        await net.send(content=b"x\r\n\r\n")
        done = await net.send()
        again = await net.send(content=b"y\r\n\r\n")
    assert outcomes(done) == [("failed", "mail", "5.3.4")]
    assert again.results[0].outcome is Outcome.RELAYED
    assert peer.connections == 2


@pytest.mark.parametrize("extensions", [EXTENSIONS, CHUNKING, ()])
async def test_a_peer_that_takes_few_messages_in_a_connection_delays_none(
    extensions: tuple[str, ...],
) -> None:
    """As Exim answers beyond smtp_accept_max_per_connection."""
    count = 0

    def mail(line: str) -> bytes:
        nonlocal count
        count += 1
        return b"421 too many messages in this connection\r\n" if count % 3 == 0 else b"250 ok\r\n"

    async with Peer(extensions=extensions, replies={"MAIL": mail}) as peer:
        carrier = Net(zone(), peer.port).transport.carrier("b.example")
        mails = [claimed(f"u{n}@b.example") for n in range(6)]
        for now, ahead in zip(mails, [*mails[1:], None], strict=True):
            (result,) = (await carrier.deliver(now, ahead)).results
            assert result.is_final
        carrier.close()
    assert len(peer.taken) == 6
    assert peer.connections == 3


async def test_what_was_taken_before_a_421_is_not_sent_again() -> None:
    extensions = (*EXTENSIONS, "LIMITS RCPTMAX=1")
    two = ("u1@b.example", "u2@b.example")
    async with Peer(extensions) as peer:
        net = Net(zone(), peer.port)
        await net.send()
        peer.replies["MAIL"] = lambda line: b"421 bye\r\n" if len(peer.taken) == 2 else b"250 ok\r\n"
        done = await net.send(*two)  # over the same connection, in two transactions
    assert [result.outcome for result in done.results] == [Outcome.SENT, Outcome.DEFERRED]
    assert [taken.recipients for taken in peer.taken[1:]] == [["RCPT TO:<u1@b.example>"]]


MOODS = (b"421 bye\r\n", b"450 later\r\n", b"452 4.5.3 too many\r\n", b"550 never\r\n", b"250 what\r\n", b"")
GOOD = (Outcome.SENT, Outcome.RELAYED)


@pytest.mark.parametrize("seed", range(150))
async def test_who_got_what_is_what_the_peer_says_whatever_it_says(seed: int) -> None:
    """Each message only to its own recipients, each of them told as it was, and none twice."""
    dice = random.Random(seed)
    said: list[tuple[Taken, bytes]] = []
    rudeness = dice.choice((0.0, 0.02, 0.1, 0.25))

    def moody(line: str) -> bytes | None:
        return dice.choice(MOODS) if dice.random() < rudeness else None

    def final(taken: Taken) -> bytes:
        mood = moody("")
        if mood == b"":
            raise ConnectionError("the peer has gone")
        said.append((taken, mood or b"250 kept\r\n"))
        return said[-1][1]

    keywords = ("PIPELINING", "CHUNKING", "DSN", f"LIMITS RCPTMAX={dice.randint(1, 3)}")
    offers = tuple(keyword for keyword in keywords if dice.random() < 0.6)
    replies: Any = dict.fromkeys(("MAIL", "RCPT", "DATA"), moody)
    async with asyncio.timeout(120), Peer(offers, replies=replies, final=final) as peer:
        carrier = Net(zone(), peer.port).transport.carrier("b.example")
        mails = [
            claimed(*(f"{n}.{k}@b.example" for k in range(dice.randint(1, 5))), content=b"a: %d\r\n\r\n" % n)
            for n in range(6)
        ]
        for now, ahead in zip(mails, [*mails[1:], None], strict=True):
            begin = len(said)
            results = (await carrier.deliver(now, ahead)).results
            for recipient, result in zip(now.recipients, results, strict=True):
                line = f"RCPT TO:<{recipient.address}>"
                kept = [t for t, reply in said[begin:] if line in t.recipients and reply.startswith(b"250")]
                assert len(kept) == (result.outcome in GOOD), (line, result)
                assert all(taken.content == now.message.content for taken in kept)
        carrier.close()


async def test_mailmax_is_kept() -> None:
    async with Peer(extensions=(*EXTENSIONS, "LIMITS MAILMAX=2")) as peer:
        net = Net(zone(), peer.port)
        for _ in range(4):
            await net.send()
        assert peer.connections == 2


async def test_chunking_sends_all_at_once_and_large_ones_in_pieces() -> None:
    db_content = CONTENT + b"0123456789abcdef\r\n" * 50_000
    async with Peer(extensions=(*EXTENSIONS, "CHUNKING", "BINARYMIME")) as peer:
        net = Net(zone(), peer.port)
        await net.send()
        assert f"BDAT {len(CONTENT)} LAST" in peer.lines

        prepared = DatabaseBlobs().prepare((db_content,), len(db_content), net.db.now)
        blob = net.db.now(lambda tx: tx.blobs.keep(tx, prepared, 1))
        large = {"content": None, "blob": blob, "size": len(db_content)}
        assert outcomes(await net.send(**large, body="BINARYMIME")) == [("sent", "content", "2.0.0")]
        assert outcomes(await net.send(**large)) == [("sent", "content", "2.0.0")]
    assert [taken.content for taken in peer.taken] == [CONTENT, db_content, db_content]
    assert sum(line.startswith("BDAT") for line in peer.lines) == 1 + 4


async def test_eight_bits_are_converted_for_a_peer_of_seven() -> None:
    text = "Viele Grüße aus der Ferne\r\n".encode()
    content = (
        b"From: a@us.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n" + text
    )
    signed: list[bytes] = []

    def sign(made: bytes) -> bytes:
        signed.append(made)
        return b"DKIM-Signature: again\r\n" + made

    async with Peer(extensions=("PIPELINING",)) as peer:
        net = Net(zone(), peer.port, more={"sign_again": sign})
        await net.send(content=content, body="8BITMIME", account=3)
        await net.send(content=content, body="8BITMIME")  # a report, or what our user sent to an alias
    (made, _) = signed
    assert made.isascii()
    assert b"Content-Transfer-Encoding: quoted-printable" in made
    assert b"Gr=C3=BC=C3=9Fe" in made
    assert [taken.content for taken in peer.taken] == [b"DKIM-Signature: again\r\n" + made] * 2
    async with Peer() as peer:
        await Net(zone(), peer.port).send(content=content, body="8BITMIME")
    assert peer.taken[0].content == content
    assert "BODY=8BITMIME" in peer.taken[0].mail


async def test_what_may_have_eight_bits_and_has_none_stays_as_it_is() -> None:
    content = b"Subject:x\r\nTo:  bob@b.example\r\n\r\nHello\r\n"
    async with Peer(extensions=()) as peer:
        done = await Net(zone(), peer.port).send(content=content, body="8BITMIME")
    assert outcomes(done) == [("relayed", "content", "2.0.0")]
    assert peer.taken[0].content == content, "signatures hold"


async def test_what_a_peer_can_never_take_fails_at_once() -> None:
    async with Peer(extensions=("PIPELINING", "SIZE 50")) as peer:
        net = Net(zone(), peer.port)
        assert outcomes(await net.send()) == [("failed", "mail", "5.3.4")]
        small = b"a: b\r\n\r\nx\r\n"
        assert outcomes(await net.send("ü@b.example", content=small, smtputf8=True)) == [
            ("failed", "mail", "5.6.7")
        ]
        assert outcomes(await net.send(content=small, smtputf8=True)) == [("relayed", "content", "2.0.0")]
    assert len(peer.taken) == 1


async def test_smtputf8_where_it_is_offered() -> None:
    async with Peer() as peer:
        assert outcomes(await Net(zone(), peer.port).send("ü@b.example", smtputf8=True)) == [
            ("sent", "content", "2.0.0")
        ]
        # An alias may lead from an address in ASCII to one that is not.
        assert outcomes(await Net(zone(), peer.port).send("ü@b.example")) == [("sent", "content", "2.0.0")]
    assert all("SMTPUTF8" in taken.mail for taken in peer.taken)
    async with Peer(extensions=("DSN",)) as peer:
        assert outcomes(await Net(zone(), peer.port).send("ü@b.example")) == [("failed", "mail", "5.6.7")]


@pytest.mark.parametrize(("subject", "expected"), [
    ("Hello", ("relayed", "content", "2.0.0")),  # the client said SMTPUTF8 to be on the safe side
    ("Grüße", ("failed", "mail", "5.6.7")),
])  # fmt: skip
async def test_of_a_large_message_too_the_header_decides_whether_it_needs_smtputf8(
    subject: str, expected: tuple[str, str, str]
) -> None:
    content = f"Subject: {subject}\r\n\r\n".encode() + b"0123456789abcdef\r\n" * 50_000
    async with Peer(extensions=("PIPELINING", "8BITMIME")) as peer:
        net = Net(zone(), peer.port)
        prepared = DatabaseBlobs().prepare((content,), len(content), net.db.now)
        blob = net.db.now(lambda tx: tx.blobs.keep(tx, prepared, 1))
        large = {"content": None, "blob": blob, "size": len(content), "smtputf8": True}
        assert outcomes(await net.send(**large)) == [expected]


async def test_helo_for_a_peer_that_knows_no_ehlo() -> None:
    async with Peer(replies={"EHLO": b"502 5.5.1 what\r\n"}) as peer:
        assert outcomes(await Net(zone(), peer.port).send()) == [("relayed", "content", "2.0.0")]


async def test_lmtp_has_a_final_reply_for_each_recipient() -> None:
    answers = iter([b"250 2.1.5 kept\r\n", b"452 4.2.2 full\r\n"])
    route = Route("store", hosts=("127.0.0.1",), lmtp=True)
    async with Peer(
        lmtp=True, final=lambda _: next(answers), replies={"RCPT TO:<no@": b"550 5.1.1 no\r\n"}
    ) as peer:
        net = Net(zone(), 0, routes=(replace(route, port=peer.port),))
        done = await net.send("a@b.example", "no@b.example", "c@b.example", destination="@store")
    assert outcomes(done) == [
        ("delivered", "content", "2.1.5"),
        ("failed", "rcpt", "5.1.1"),
        ("deferred", "content", "4.2.2"),
    ]
    assert peer.lines[0] == "LHLO mx.us.example"


# Ways


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({}, ("failed", "dns", "5.1.2")),
        ({"b.example": {"MX": ["0 ."]}}, ("failed", "dns", "5.1.10")),
        ({"b.example": {"TXT": ["x"]}}, ("failed", "dns", "5.4.4")),
        ({"b.example": {"MX": ["10 nowhere.example"]}}, ("failed", "dns", "5.4.4")),
        ({"b.example": {"MX": ["10 mx.us.example", "20 other.example"]}}, ("failed", "dns", "5.4.6")),
    ],
)
async def test_domains_without_a_server(records: dict[str, Any], expected: tuple[str, str, str]) -> None:
    done = await Net(MockResolver(records), 25).send()
    assert outcomes(done) == [expected]
    assert done.reached, "there is no outage to wait for"


async def test_one_of_many_hosts_that_has_an_address_is_enough() -> None:
    records = {
        "b.example": {"MX": [f"{n} mx{n}.b.example" for n in range(1, 13)]},
        "mx12.b.example": {"A": ["127.0.0.1"]},
    }
    async with Peer() as peer:
        done = await Net(MockResolver(records), peer.port).send()
    assert outcomes(done) == [("sent", "content", "2.0.0")]


@pytest.mark.parametrize(
    ("mx", "expected"),
    [
        (["10 us2.b.example", "20 mx.b.example"], None),
        (["10 mx.b.example", "10 us2.b.example"], None),
        (["10 mx.b.example", "20 us2.b.example", "30 mx2.b.example"], ["mx.b.example"]),
        (["10 mx.b.example", "20 us2.b.example", "20 mx2.b.example"], ["mx.b.example"]),
        (["10 mx.b.example", "20 MX.us.example.", "20 mx2.b.example"], ["mx.b.example"]),
    ],
)
async def test_the_list_of_hosts_ends_where_we_are(mx: list[str], expected: list[str] | None) -> None:
    """RFC 5321 5.1: by our names and by our addresses."""
    zone = {
        "b.example": {"MX": mx},
        "mx.b.example": {"A": ["192.0.2.1"]},
        "mx2.b.example": {"A": ["192.0.2.2"]},
        "us2.b.example": {"AAAA": ["2001:db8::25"], "A": ["198.51.100.25"]},
    }
    finder = HostFinder(
        MockResolver(zone),
        ours=("mx.us.example",),
        is_ours=lambda address, port: (address, port) == ("198.51.100.25", 25),
    )
    if expected is None:
        with pytest.raises(NoHosts) as caught:
            await finder.of_domain("b.example", 25)
        assert caught.value.result.status == "5.4.6"
        assert len(await finder.of_domain("b.example", 26)) == 2, "another port is another server"
    else:
        assert [host.name for host in await finder.of_domain("b.example", 25)] == expected
    with pytest.raises(NoHosts):
        await finder.of_domain("[198.51.100.25]", 25)


async def test_a_silent_name_server_is_waited_for() -> None:
    done = await Net(MockResolver({}, failing=["b.example"]), 25).send()
    assert outcomes(done) == [("deferred", "dns", "4.4.3")]
    assert not done.reached


async def test_the_implicit_mx_and_an_address_literal() -> None:
    async with Peer() as peer:
        net = Net(MockResolver({"b.example": {"A": ["127.0.0.1"]}}), peer.port)
        assert outcomes(await net.send()) == [("sent", "content", "2.0.0")]
        literal = await net.send("bob@[127.0.0.1]", destination="[127.0.0.1]")
        assert outcomes(literal) == [("sent", "content", "2.0.0")]


async def test_better_hosts_first_and_the_next_one_when_the_first_is_down() -> None:
    records: Any = {
        "b.example": {"MX": ["20 mx2.b.example", "10 mx1.b.example"]},
        "mx1.b.example": {"A": ["127.0.0.2"]},
        "mx2.b.example": {"A": ["127.0.0.1"]},
    }
    async with Peer() as peer:
        net = Net(MockResolver(records), peer.port)
        done = await net.send()
        assert done.event["host"] == "mx2.b.example"
        (why,) = cast("list[str]", done.event["earlier"])
        assert "mx1.b.example [127.0.0.2]: cannot connect" in why
        assert f"before, {why}" in trace.tell_event(trace.Event(0.0, "attempt", dict(done.event)))
        again = await net.send()
        assert "earlier" not in again.event, "the one that is down is not asked again soon"


TWO_HOSTS: dict[str, Any] = {
    "b.example": {"MX": ["20 mx2.b.example", "10 mx1.b.example"]},
    "mx1.b.example": {"A": ["127.0.0.2"]},
    "mx2.b.example": {"A": ["127.0.0.1"]},
}


FULL, LEAVING, GONE = b"452 4.3.1 disk full\r\n", b"421 4.3.2 going down\r\n", b""
# Not where it may have been taken: who sent all of it and heard nothing cannot know.
TAKES_NOTHING = [
    *((extensions, verb, GONE) for extensions in (EXTENSIONS, ()) for verb in ("MAIL", "RCPT", "DATA")),
    *((extensions, "DATA", reply) for extensions in (EXTENSIONS, ()) for reply in (FULL, LEAVING)),
    *(
        (extensions, verb, reply)
        for extensions in (EXTENSIONS, CHUNKING, ())
        for verb in ("MAIL", "RCPT", "content")
        for reply in (FULL, LEAVING)
    ),
]


@pytest.mark.parametrize(("extensions", "verb", "reply"), TAKES_NOTHING)
async def test_another_host_is_asked_where_the_better_one_takes_nothing(
    extensions: tuple[str, ...], verb: str, reply: bytes
) -> None:
    told: dict[str, Any] = {"final": reply} if verb == "content" else {"replies": {verb: reply}}
    async with Peer() as good, Peer(extensions=extensions, host="127.0.0.2", port=good.port, **told) as bad:
        net = Net(MockResolver(TWO_HOSTS), good.port)
        carrier = net.transport.carrier("b.example")
        done = await carrier.deliver(claimed("bob@b.example", "carol@b.example"))
        assert outcomes(done) == [("sent", "content", "2.0.0")] * 2
        assert len(good.taken) == 1
        assert done.event["host"] == "mx2.b.example"
        assert "mx1.b.example [127.0.0.2]: " in done.event["earlier"][0]  # type: ignore[index]
        bad.replies, bad.final = {}, b"250 2.0.0 kept\r\n"
        bad.taken.clear()
        again = await carrier.deliver(claimed("bob@b.example"))
        assert again.event["host"] == "mx1.b.example", "the better host is asked first"
        carrier.close()


async def test_an_envelope_that_went_ahead_is_not_left_on_the_connection_for_others() -> None:
    async with Peer() as good, Peer(host="127.0.0.2", port=good.port, final=b"451 4.3.0 no\r\n") as bad:
        net = Net(MockResolver(TWO_HOSTS), good.port)
        carrier = net.transport.carrier("b.example")
        first, second = claimed("bob@b.example"), claimed("carol@b.example")
        for now, ahead in ((first, second), (second, None)):
            assert outcomes(await carrier.deliver(now, ahead)) == [("sent", "content", "2.0.0")]
        carrier.close()
    assert bad.lines.count(f"MAIL FROM:<alice@us.example> SIZE={len(CONTENT)}") == 3
    assert [taken.recipients[0][:19] for taken in good.taken] == [
        "RCPT TO:<bob@b.exam",
        "RCPT TO:<carol@b.ex",
    ]


async def test_an_envelope_that_went_ahead_gets_no_other_message() -> None:
    """Its lease may end before its turn comes."""
    async with Peer() as peer:
        carrier = Net(zone(), peer.port).transport.carrier("b.example")
        first, lost, third = (claimed(f"{name}@b.example") for name in ("bob", "lost", "carol"))
        for now, ahead in ((first, lost), (third, None)):
            assert outcomes(await carrier.deliver(now, ahead)) == [("sent", "content", "2.0.0")]
        carrier.close()
    assert [taken.recipients for taken in peer.taken] == [
        [line] for line in ("RCPT TO:<bob@b.example>", "RCPT TO:<carol@b.example>")
    ]
    assert [taken.content for taken in peer.taken] == [CONTENT] * 2


async def test_what_the_other_host_refuses_does_not_count_while_the_better_one_only_puts_off() -> None:
    deny: Any = {"RCPT": b"550 5.7.1 relaying denied\r\n"}
    async with (
        Peer(replies=deny) as other,
        Peer(host="127.0.0.2", port=other.port, replies={"RCPT": b"450 4.7.1 greylisted\r\n"}),
    ):
        done = await Net(MockResolver(TWO_HOSTS), other.port).send()
    assert outcomes(done) == [("deferred", "rcpt", "4.7.1")]
    assert done.results[0].host == "mx1.b.example"
    assert "S: 550 5.7.1 relaying denied" in done.event["lines"]  # type: ignore[operator]


async def test_what_may_have_been_taken_goes_to_no_other_host() -> None:
    async with (
        Peer() as other,
        Peer(host="127.0.0.2", port=other.port, lose_after_dot=True) as lost,
    ):
        done = await Net(MockResolver(TWO_HOSTS), other.port).send()
    assert outcomes(done) == [("deferred", "content", "4.4.2")]
    assert (len(lost.taken), len(other.taken)) == (1, 0)


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (b"421 4.3.2 busy\r\n", ("deferred", "greeting", "4.3.2")),
        (b"554 5.7.1 go away\r\n", ("failed", "greeting", "5.7.1")),
        (b"HTTP/1.1 400 Bad Request\r\n", ("deferred", "greeting", "4.4.2")),
        (b"220-" + b"x" * 1_000_000, ("deferred", "greeting", "4.4.2")),
    ],
)
async def test_a_bad_greeting(greeting: bytes, expected: tuple[str, str, str]) -> None:
    async with Peer(greeting=greeting) as peer:
        done = await Net(zone(), peer.port).send()
    assert outcomes(done) == [expected]


async def test_a_tarpit_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "GREETING_TIMEOUT", 0.2)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"2")
            await asyncio.sleep(0.02)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        done = await Net(zone(), server.sockets[0].getsockname()[1]).send()
        assert outcomes(done) == [("deferred", "greeting", "4.4.2")]
        assert "no reply within" in done.results[0].text or "no complete reply" in done.results[0].text
        assert wire.FINAL_TIMEOUT == 600


async def test_nobody_listens() -> None:
    done = await Net(zone(), free_port()).send()
    assert outcomes(done) == [("deferred", "connect", "4.4.1")]
    assert not done.reached


async def test_a_smarthost_with_login() -> None:
    lines: list[str] = []

    def auth(line: str) -> bytes:
        lines.append(line)
        return b"235 2.7.0 welcome\r\n"

    async with Peer(extensions=(*EXTENSIONS, "AUTH PLAIN LOGIN"), replies={"AUTH": auth}) as peer:
        route = Route("smart", hosts=("127.0.0.1",), port=peer.port, username="us", password="secret")
        net = Net(MockResolver({}), 0, routes=(route,))
        done = await net.send("a@b.example", "c@d.example", destination="@smart")
        assert outcomes(done) == [("sent", "content", "2.0.0")] * 2
        assert len(peer.taken) == 1, "several domains in one transaction"
    assert lines[0].startswith("AUTH PLAIN ")
    assert "AHVzAHNlY3JldA==" in lines[0]
    assert not any("AHVz" in line for line in done.event["lines"])  # type: ignore[attr-defined]
    async with Peer(extensions=(*EXTENSIONS, "AUTH PLAIN"), replies={"AUTH": b"535 5.7.8 wrong\r\n"}) as peer:
        net = Net(MockResolver({}), 0, routes=(replace(route, port=peer.port),))
        assert outcomes(await net.send(destination="@smart")) == [("deferred", "auth", "4.7.8")]
    net = Net(MockResolver({}), 0)
    assert outcomes(await net.send(destination="@gone")) == [("deferred", "route", "4.3.5")]


async def test_a_source_address_of_ours() -> None:
    async with Peer() as peer:
        route = Route("other", hosts=("127.0.0.1",), port=peer.port, sources=("127.0.0.9", "::1"))
        seen: list[str] = []

        def rcpt(line: str) -> bytes:
            seen.extend(stream.peer.address for stream in peer.streams)
            return b"250 ok\r\n"

        peer.replies["RCPT"] = rcpt
        await Net(MockResolver({}), 0, routes=(route,)).send(destination="@other")
    assert seen == ["127.0.0.9"]


# Safety


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def secure_net(peer: Peer, authority: Authority, **more: Any) -> Net:
    return Net(zone(), peer.port, authorities=str(authority.file), **more)


async def test_tls_is_used_when_offered_whoever_the_certificate_names(authority: Authority) -> None:
    async with Peer(context=authority.context("elsewhere.example", days=-5)[0]) as peer:
        done = await secure_net(peer, authority).send()
    assert outcomes(done) == [("sent", "content", "2.0.0")]
    assert peer.taken[0].tls
    assert str(done.event["tls"]).startswith("TLSv1.3")
    assert done.event["policy"] == "opportunistic"
    assert peer.lines.count("EHLO mx.us.example") == 2


async def test_a_broken_handshake_is_forgiven_when_tls_is_chance() -> None:
    async with Peer(extensions=(*EXTENSIONS, "STARTTLS"), replies={"STARTTLS": b"220 go\r\n"}) as peer:
        peer.extensions = (*EXTENSIONS, "STARTTLS")
        # It says yes and goes on in the clear.
        done = await asyncio.wait_for(Net(zone(), peer.port).send(), 60)
    assert outcomes(done) == [("sent", "content", "2.0.0")]
    assert not peer.taken[0].tls
    (why,) = cast("list[str]", done.event["earlier"])
    assert why == "mx.b.example [127.0.0.1]: the peer closed the connection in the TLS handshake"


POLICY = b"version: STSv1\r\nmode: %b\r\nmx: mx.b.example\r\nmax_age: 86400\r\n"


@pytest.mark.parametrize(
    ("names", "days", "delivered"),
    [(("mx.b.example",), 30, True), (("other.example",), 30, False), (("mx.b.example",), -5, False)],
)
async def test_mta_sts_enforce(
    authority: Authority, names: tuple[str, ...], days: int, delivered: bool
) -> None:
    async with Peer(context=authority.context(*names, days=days)[0]) as peer:
        net = secure_net(peer, authority, policy=POLICY % b"enforce")
        net.resolver.add("_mta-sts.b.example", "TXT", b"v=STSv1; id=1")
        done = await net.send()
    if delivered:
        assert outcomes(done) == [("sent", "content", "2.0.0")]
        assert done.event["policy"] == "MTA-STS enforce"
    else:
        assert outcomes(done) == [("deferred", "tls", "4.7.5")]
        assert not peer.taken


async def test_mta_sts_without_tls_or_with_a_foreign_host_defers_and_testing_delivers(
    authority: Authority,
) -> None:
    async with Peer() as peer:
        for mode, outcome in (
            (b"enforce", Outcome.DEFERRED),
            (b"testing", Outcome.SENT),
            (b"none", Outcome.SENT),
        ):
            net = secure_net(peer, authority, policy=POLICY % mode)
            net.resolver.add("_mta-sts.b.example", "TXT", b"v=STSv1; id=1")
            assert (await net.send()).results[0].outcome is outcome
    async with Peer(context=authority.context("mx.b.example")[0]) as peer:
        net = secure_net(peer, authority, policy=(POLICY % b"enforce").replace(b"mx.b", b"mx.c"))
        net.resolver.add("_mta-sts.b.example", "TXT", b"v=STSv1; id=1")
        done = await net.send()
        assert outcomes(done) == [("deferred", "tls", "4.7.5")]
        assert "not in the MTA-STS policy" in done.results[0].text
        net = secure_net(peer, authority, policy=(POLICY % b"testing").replace(b"mx.b", b"mx.c"))
        net.resolver.add("_mta-sts.b.example", "TXT", b"v=STSv1; id=1")
        assert outcomes(await net.send()) == [("sent", "content", "2.0.0")]
        assert peer.taken[-1].tls
        assert outcomes(await net.send(requiretls=True)) == [("failed", "tls", "5.7.10")]


@pytest.mark.parametrize(
    ("usage", "good", "delivered"), [(3, True, True), (3, False, False), (2, True, True), (2, False, False)]
)
async def test_dane(authority: Authority, usage: int, good: bool, delivered: bool) -> None:
    context, leaf = authority.context("mx.b.example")
    ca = authority.certificate.public_bytes(attempt_encoding())
    digest = hashlib.sha256(leaf if usage == 3 else ca).hexdigest() if good else "00" * 32
    async with Peer(context=context) as peer:
        net = Net(zone(), peer.port)
        net.resolver.secure.update({"b.example"})
        record = f"{usage} 0 1 {digest}" if usage == 3 else f"2 0 0 {ca.hex()}" if good else f"2 0 1 {digest}"
        net.resolver.add(f"_{peer.port}._tcp.mx.b.example", "TLSA", record)
        done = await net.send()
    assert outcomes(done) == [("sent", "content", "2.0.0") if delivered else ("deferred", "tls", "4.7.5")]
    assert bool(peer.taken) is delivered
    if delivered:
        assert done.event["policy"] == "DANE"


@pytest.mark.parametrize("owner", ["mx.b.example", "real.b.example"])
async def test_dane_of_a_host_that_is_an_alias(authority: Authority, owner: str) -> None:
    context, leaf = authority.context("mx.b.example")
    asked: list[str] = []
    context.sni_callback = lambda session, name, context: asked.append(name)
    records: Any = {
        "b.example": {"MX": ["10 mx.b.example"]},
        "mx.b.example": {"CNAME": ["real.b.example"]},
        "real.b.example": {"A": ["127.0.0.1"]},
    }
    async with Peer(context=context) as peer:
        for digest, expected in (
            (hashlib.sha256(leaf).hexdigest(), ("sent", "content", "2.0.0")),
            ("00" * 32, ("deferred", "tls", "4.7.5")),
        ):
            net = Net(MockResolver(records), peer.port)
            net.resolver.secure.update({"b.example"})
            net.resolver.add(f"_{peer.port}._tcp.{owner}", "TLSA", f"3 0 1 {digest}")
            assert outcomes(await net.send()) == [expected]
    assert set(asked) == {owner}, "which certificate is wanted (RFC 7672 8.1)"


def attempt_encoding() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


async def test_a_policy_that_cannot_be_had_is_reported_though_the_mail_arrives() -> None:
    """RFC 8460 4.3."""

    async def post(url: str, data: bytes) -> bool:
        raise AssertionError("the day is not over")

    db, clock, origin = InlineDatabase(), SystemClock(), Origin("mx.us.example", "postmaster@us.example")
    resolver = zone()
    resolver.add("_mta-sts.b.example", "TXT", b"v=STSv1; id=1")
    reports = TLSReports(db, resolver, clock, origin, Reports(Rules(), origin), post)  # type: ignore[arg-type]
    async with Peer() as peer:
        net = Net(resolver, peer.port, more={"tls_reports": reports})
        assert outcomes(await net.send()) == [("sent", "content", "2.0.0")]
        assert outcomes(await net.send()) == [("sent", "content", "2.0.0")], "over the same connection"
    await reports.flush()
    told = await db.read(read_results, int(clock.now() // DAY), "b.example")
    assert sorted((found.policy.kind, found.result, found.count) for found in told) == [
        ("no-policy-found", "starttls-not-supported", 1),
        ("sts", "sts-policy-fetch-error", 1),
    ]


async def test_dane_counts_only_in_a_signed_zone_and_wants_starttls() -> None:
    async with Peer() as peer:
        net = Net(zone(), peer.port)
        net.resolver.add(f"_{peer.port}._tcp.mx.b.example", "TLSA", "3 1 1 " + "00" * 32)
        assert outcomes(await net.send()) == [("sent", "content", "2.0.0")]
        net = Net(zone(), peer.port)
        net.resolver.add(f"_{peer.port}._tcp.mx.b.example", "TLSA", "3 1 1 " + "00" * 32)
        net.resolver.secure.add("b.example")
        assert outcomes(await net.send()) == [("deferred", "tls", "4.7.5")]


async def test_requiretls(authority: Authority) -> None:
    offers = (*EXTENSIONS, "REQUIRETLS")
    async with Peer(extensions=offers, context=authority.context("mx.b.example")[0]) as peer:
        net = secure_net(peer, authority)
        assert outcomes(await net.send(requiretls=True)) == [("failed", "tls", "5.7.10")], (
            "the MX is not vouched for"
        )
        net = secure_net(peer, authority)
        net.resolver.secure.add("b.example")
        assert outcomes(await net.send(requiretls=True)) == [("sent", "content", "2.0.0")]
        assert peer.taken[-1].mail.endswith("REQUIRETLS")
        peer.extensions = EXTENSIONS
        net = secure_net(peer, authority)
        net.resolver.secure.add("b.example")
        assert outcomes(await net.send(requiretls=True)) == [("failed", "tls", "5.7.30")]
    assert len(peer.taken) == 1


async def test_requiretls_looks_for_a_host_that_offers_it(authority: Authority) -> None:
    """RFC 8689 4.2.1: each of the domain's hosts is asked."""
    names = ("mx1.b.example", "mx2.b.example")
    context = authority.context(*names)[0]
    async with (
        Peer((*EXTENSIONS, "REQUIRETLS"), context=context) as second,
        Peer(context=context, host="127.0.0.2", port=second.port) as first,
    ):
        resolver = MockResolver(TWO_HOSTS, secure=("b.example",))
        net = Net(resolver, second.port, authorities=str(authority.file))
        done = await net.send(requiretls=True)
        assert outcomes(done) == [("sent", "content", "2.0.0")]
        assert done.event["host"] == "mx2.b.example"
        assert outcomes(await net.send()) == [("sent", "content", "2.0.0")]
    assert [taken.mail.split()[-1] for taken in second.taken] == ["REQUIRETLS"]
    assert len(first.taken) == 1, "other mail still goes to the better host"


async def test_requiretls_does_not_keep_a_report_back(authority: Authority) -> None:
    """RFC 8689 4.2.1, 5: it would be lost, since nobody is told of it."""
    async with Peer((*EXTENSIONS, "REQUIRETLS")) as peer:
        sent = await Net(zone(), peer.port).send(reverse_path="", requiretls=True)
        assert outcomes(sent) == [("sent", "content", "2.0.0")]
        assert peer.taken[0].mail.endswith("REQUIRETLS"), "but it is asked for where it is offered"
    async with Peer() as peer:
        content = b"TLS-Required: No\r\n\r\n"
        sent = await Net(zone(), peer.port).send(reverse_path="", requiretls=True, content=content)
        assert outcomes(sent) == [("sent", "content", "2.0.0")]
        assert sent.event["policy"] == "opportunistic", "REQUIRETLS is asked rather than the field"


@pytest.mark.parametrize(("tls", "names", "outcome"), [
    ("none", ("mx.b.example",), Outcome.SENT),
    ("encrypt", ("elsewhere.example",), Outcome.SENT),
    ("verify", ("elsewhere.example",), Outcome.DEFERRED),
    ("verify", ("mx.b.example",), Outcome.SENT),
])  # fmt: skip
async def test_a_route_says_how_safe(
    authority: Authority, tls: str, names: tuple[str, ...], outcome: Outcome
) -> None:
    async with Peer(context=authority.context(*names)[0]) as peer:
        routes = (Route("safe", domains=("b.example",), tls=tls, port=peer.port),)
        net = secure_net(peer, authority, routes=routes)
        done = await net.send(destination="b.example@safe")
        assert done.results[0].outcome is outcome
        assert all(taken.tls is (tls != "none") for taken in peer.taken)


async def test_tls_required_no_puts_arriving_first(authority: Authority) -> None:
    """RFC 8689 5: for what tells of broken TLS, such as reports."""
    content = b"From: a@us.example\r\nTLS-Required: No\r\n\r\nTLS-Required: yes\r\n"
    async with Peer(context=authority.context("other.example")[0]) as peer:
        net = secure_net(peer, authority, policy=POLICY % b"enforce")
        net.resolver.add("_mta-sts.b.example", "TXT", b"v=STSv1; id=1")
        carrier = net.transport.carrier("b.example")
        done = await carrier.deliver(claimed("bob@b.example", content=content))
        assert outcomes(done) == [("sent", "content", "2.0.0")]
        assert done.event["policy"] == "TLS-Required: No"
        done = await carrier.deliver(claimed("bob@b.example"))
        assert outcomes(done) == [("deferred", "tls", "4.7.5")], "not over the same connection"
        assert not says_optional(b"From: x\r\n\r\nTLS-Required: No\r\n")
        carrier.close()


async def test_through_a_socks_proxy() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        writer.write(b"\x05\x00")
        request = await reader.readexactly(10)
        asked.append(request)
        to_peer, from_peer = writer, reader
        peer_reader, peer_writer = await asyncio.open_connection(
            "127.0.0.1", int.from_bytes(request[8:], "big")
        )
        writer.write(b"\x05\x00\x00\x01" + bytes(6))

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(from_peer, peer_writer), copy(peer_reader, to_peer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Peer() as peer:
        proxy = f"socks5://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        net = Net(zone(), peer.port, routes=(Route("direct", proxy=proxy, port=peer.port),))
        assert outcomes(await net.send()) == [("sent", "content", "2.0.0")]
        await net.transport.close()
        await asyncio.sleep(0.05)
    assert asked == [b"\x05\x01\x00\x01\x7f\x00\x00\x01" + peer.port.to_bytes(2, "big")]
    route = Route("direct", proxy="socks5://127.0.0.1:1")
    done = await Net(zone(), 25, routes=(route,)).send()
    assert outcomes(done) == [("deferred", "connect", "4.4.1")]
