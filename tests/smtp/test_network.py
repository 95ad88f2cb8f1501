"""Sessions over real TCP and TLS, with smtplib and with our own client."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from smtp.house import House

from mailwright.base.limits import Limits
from mailwright.net.listener import Connections, Listener, Refusals
from mailwright.net.stream import StreamProtocol, connect
from mailwright.sasl.client import ClientMechanism, choose_mechanism
from mailwright.smtp.api import Policy, Role, with_protocol
from mailwright.smtp.client import ClientConnection, ReplyReceived
from mailwright.smtp.replies import Reply
from mailwright.smtp.session import Session
from mailwright.smtp.syntax.path import Path
from mailwright.tls.certificates import ensure_self_signed, server_context, server_end_point

ALICE = Path("alice", "example.org")
BOB = Path("bob", "elsewhere.example")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server_context(*ensure_self_signed(tmp_path_factory.mktemp("tls"), ["localhost"]))


Start = Callable[[Role, bool], Awaitable[tuple[House, Listener]]]


@pytest.fixture
async def start(context: ssl.SSLContext) -> AsyncIterator[Start]:
    listeners: list[Listener] = []
    limits = Limits()

    async def listen(role: Role, implicit_tls: bool) -> tuple[House, Listener]:
        house = House()
        policy = Policy(
            role, "localhost", limits, tls_context=lambda: context, server_secret=b"secret", auth_delay=0
        )
        listener = Listener(
            "smtp",
            "127.0.0.1",
            0,
            lambda stream: Session(stream, policy, house, house),
            Refusals(b"421 too many\r\n", b"421 shutting down\r\n"),
            Connections(limits),
            limits,
            tls=(lambda: context) if implicit_tls else None,
        )
        await listener.start()
        listeners.append(listener)
        return house, listener

    yield listen
    for listener in listeners:
        listener.stop_accepting()
        await listener.wait_closed(60)


def unverified() -> ssl.SSLContext:
    found = ssl.create_default_context()
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    return found


async def test_smtplib_submits_over_starttls(start: Start) -> None:
    house, listener = await start(Role.SUBMISSION, False)

    def submit() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=60) as client:
            client.starttls(context=unverified())
            client.login("alice", "secret")
            return client.sendmail(
                "alice@example.org", ["bob@elsewhere.example"], b".dot\r\n" + b"x" * 500_000
            )

    assert await asyncio.to_thread(submit) == {}
    ((info, envelope, data),) = house.kept
    assert data == b".dot\r\n" + b"x" * 500_000 + b"\r\n"
    assert (with_protocol(info), envelope.recipients[0].path) == ("ESMTPSA", BOB)


async def test_smtplib_over_implicit_tls_with_a_wrong_password(start: Start) -> None:
    _, listener = await start(Role.SUBMISSION, True)

    def log_in() -> None:
        with smtplib.SMTP_SSL("127.0.0.1", listener.port, timeout=60, context=unverified()) as client:
            client.login("alice", "wrong")

    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        await asyncio.to_thread(log_in)
    assert caught.value.smtp_code == 535


class Client:
    """Our own client machine over our own stream."""

    def __init__(self, stream: StreamProtocol, lmtp: bool = False) -> None:
        self.stream = stream
        self.machine = ClientConnection(lmtp=lmtp)

    async def replies(self, octets: bytes = b"") -> list[Reply]:
        """Send, and wait for all replies that are due."""
        self.stream.write(octets)
        found: list[Reply] = []
        while self.machine.replies_due:
            while (event := self.machine.next_event()) is None:
                self.machine.receive_data(await self.stream.read(60) or b"")
            assert isinstance(event, ReplyReceived), event
            found.append(event.reply)
        return found

    async def log_in(self, mechanism: ClientMechanism) -> Reply:
        (reply,) = await self.replies(self.machine.auth(mechanism))
        while reply.code == 334:
            (reply,) = await self.replies(self.machine.auth_response(reply))
        return reply


async def test_our_client_binds_scram_to_the_tls_channel(start: Start) -> None:
    house, listener = await start(Role.SUBMISSION, False)
    client = Client(await connect("127.0.0.1", listener.port))
    await client.replies()
    await client.replies(client.machine.hello("laptop"))
    assert [reply.code for reply in await client.replies(client.machine.starttls())] == [220]
    context = unverified()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = await client.stream.start_client_tls(context, None)
    client.machine.reset()
    await client.replies(client.machine.hello("laptop"))
    offered = client.machine.extensions.mechanisms
    assert offered[0] == "SCRAM-SHA-256-PLUS"
    certificate = session.getpeercert(binary_form=True)
    assert certificate is not None
    binding = server_end_point(certificate)
    wrong = choose_mechanism(offered, "alice", "secret", nonce="n", channel_binding=b"\0" * 32)
    right = choose_mechanism(offered, "alice", "secret", nonce="n", channel_binding=binding)
    assert wrong is not None
    assert right is not None
    assert (await client.log_in(wrong)).code == 535
    assert (await client.log_in(right)).code == 235
    machine = client.machine
    sent = (
        machine.mail_from(ALICE)
        + machine.rcpt_to(BOB)
        + machine.bdat(b"a\r\n", False)
        + machine.bdat(b"b\r\n", True)
    )
    assert [reply.code for reply in await client.replies(sent)] == [250, 250, 250, 250]
    assert [data for _, _, data in house.kept] == [b"a\r\nb\r\n"]
    assert house.failures == ["alice"]
    await client.stream.close()


async def test_200_pipelined_messages_and_a_shutdown(start: Start) -> None:
    house, listener = await start(Role.LMTP, False)
    client = Client(await connect("127.0.0.1", listener.port), lmtp=True)
    machine = client.machine
    await client.replies()
    await client.replies(machine.hello("front"))
    sent = b"".join(
        machine.mail_from(ALICE)
        + machine.rcpt_to(ALICE)
        + machine.rcpt_to(ALICE)
        + machine.bdat(b"%d\r\n" % n, True)
        for n in range(200)
    )
    replies = await client.replies(sent)
    assert [reply.code for reply in replies] == [250] * 1000
    assert [data for _, _, data in house.kept] == [b"%d\r\n" % n for n in range(200)]
    stopping = asyncio.create_task(listener.wait_closed(60))
    machine.noop()
    assert [reply.code for reply in await client.replies()] == [421]
    assert await client.stream.read(60) == b""
    await client.stream.close()
    await stopping


async def test_tls_that_fails_ends_the_session(start: Start) -> None:
    _, listener = await start(Role.RELAY, False)
    stream = await connect("127.0.0.1", listener.port)
    stream.write(b"EHLO x\r\nSTARTTLS\r\n")
    said = b""
    while b"220 2.0.0 Ready" not in said:
        said += await stream.read(60) or b""
    stream.write(b"MAIL FROM:<evil@example.net>\r\n")
    rest = b""
    try:
        while piece := await stream.read(60):
            rest += piece
    except ConnectionError:
        pass
    assert b"250" not in rest
    await stream.close()
