"""Sessions that go wrong: locks, lost connections, failing stores, hostile and slow clients."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.pop3 import LOGIN, PASSWORD, Pop3House
from support.streams import TLS, MemoryStream

from mailwright.net.api import TLSInfo
from mailwright.pop3.session import Pop3Session
from mailwright.sasl.api import Denied
from mailwright.sasl.client import ScramClient
from mailwright.sasl.wire import decode_response, encode
from mailwright.store.blobs.api import CHUNK
from mailwright.store.db.api import Transaction

ONE = b"Subject: one\r\n\r\nHello\r\n"


def secure(write_ahead: int | None = None) -> MemoryStream:
    return MemoryStream(tls=TLS, write_ahead=write_ahead)


async def log_in(stream: MemoryStream) -> bytes:
    """The reply to PASS."""
    stream.feed(b"".join(line + b"\r\n" for line in LOGIN))
    await stream.line()
    await stream.line()
    return await stream.line()


async def say(stream: MemoryStream, line: bytes) -> bytes:
    stream.feed(line + b"\r\n")
    return await stream.line()


# The maildrop


async def test_mail_that_comes_meanwhile_is_not_touched(house: Pop3House) -> None:
    await house.put(ONE, ONE)
    stream = secure()
    async with house.session(stream):
        await log_in(stream)
        await house.put(ONE)
        assert await say(stream, b"STAT") == b"+OK 2 46"
        assert (await say(stream, b"RETR 3")).startswith(b"-ERR")
        await say(stream, b"DELE 1")
        await say(stream, b"DELE 2")
        assert await say(stream, b"QUIT") == b"+OK Goodbye, 2 messages removed"
    assert await house.kept() == [3]


async def test_what_another_program_removed_is_told(house: Pop3House) -> None:
    await house.put(ONE, ONE, ONE)
    stream = secure()
    async with house.session(stream):
        await log_in(stream)
        await house.expunge(1, 2)
        assert await say(stream, b"STAT") == b"+OK 3 69"  # RFC 1939 5: the numbers stand
        gone = b"-ERR This message was removed by another program meanwhile"
        assert await say(stream, b"RETR 1") == gone
        assert await say(stream, b"RETR 1") == gone
        assert (await say(stream, b"TOP 2 1")).startswith(b"-ERR")
        assert (await say(stream, b"DELE 1")).startswith(b"+OK")
        assert (await say(stream, b"DELE 3")).startswith(b"+OK")
        assert (await say(stream, b"QUIT")).startswith(b"+OK")
    assert await house.kept() == []


async def test_unique_ids_stay_the_same_and_are_never_used_again(house: Pop3House) -> None:
    await house.put(ONE, ONE)
    first = await house.talk(secure(), *LOGIN, b"UIDL", b"DELE 2", b"QUIT")
    await house.put(ONE)
    second = await house.talk(secure(), *LOGIN, b"UIDL", b"QUIT")
    ids = [line.split()[1] for line in first[4:6]], [line.split()[1] for line in second[4:6]]
    assert ids[0][0] == ids[1][0]
    assert len({*ids[0], *ids[1]}) == 3
    for name in (*ids[0], *ids[1]):
        assert len(name) <= 70
        assert all(0x21 <= octet <= 0x7E for octet in name)


async def test_empty_maildrop(house: Pop3House) -> None:
    said = await house.talk(secure(), *LOGIN, b"STAT", b"LIST", b"UIDL", b"RETR 1", b"QUIT")
    assert said[2:] == [
        b"+OK Logged in, 0 messages (0 octets)",
        b"+OK 0 0",
        b"+OK 0 messages (0 octets)",
        b".",
        b"+OK 0 messages (0 octets)",
        b".",
        b"-ERR There is no message 1; the mailbox has 0 messages",
        b"+OK Goodbye",
    ]


async def test_messages_of_all_sizes_in_any_order(house: Pop3House) -> None:
    sizes = [0, 1, 20_000, 30_000, 20_000, 65_536, 65_537, CHUNK, CHUNK + 1, 7, 8, 9, *range(100, 130)]
    contents = [(b"%d\r\n" % size * size)[:size] for size in sizes]
    await house.put(*contents)
    stream = secure()
    async with house.session(stream):
        await log_in(stream)
        count = len(sizes)
        for number in [*range(1, count + 1), 5, 5, 4, 1, 2, 3, 12, *range(10, count + 1), 6]:
            assert await say(stream, b"RETR %d" % number) == b"+OK %d octets" % sizes[number - 1]
            lines = []
            while (line := await stream.line()) != b".":
                lines.append(line + b"\r\n")
            content = contents[number - 1]
            assert b"".join(lines) == content + b"\r\n" * (content != b"" and not content.endswith(b"\r\n"))


async def test_a_large_message_streams_byte_for_byte(house: Pop3House) -> None:
    line = b"." + b"x" * 62 + b"\r\n"
    head = b"Subject: large\r\n\r\n"
    # A line begins at the very start of the second chunk, and CR and LF fall into different ones at the third.
    second = head + b"y" * (CHUNK - len(head) - 2) + b"\r\n"
    third = (line * (CHUNK // len(line) + 1))[: CHUNK - 1] + b"\r"
    message = second + third + b"\n.\r\n" + line * 40_000 + b"no line end"
    await house.put(message)
    stream = secure(write_ahead=65_536)
    async with house.session(stream):
        await log_in(stream)
        assert await say(stream, b"RETR 1") == b"+OK %d octets" % len(message)
        lines: list[bytes] = []
        while (said := await stream.line()) != b".":
            lines.append(said[1:] if said.startswith(b".") else said)
        assert b"\r\n".join(lines) == message
        assert (await say(stream, b"TOP 1 4100")) == b"+OK"
        top: list[bytes] = []
        while (said := await stream.line()) != b".":
            top.append(said[1:] if said.startswith(b".") else said)
        assert top == lines[: 2 + 4100]
    assert stream.most_unread < 65_536 + CHUNK * 5 // 4


async def test_a_large_message_that_goes_while_it_is_sent_is_not_ended(house: Pop3House) -> None:
    await house.put(b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 100_000)
    stream = secure(write_ahead=1024)
    async with house.session(stream) as task:
        await log_in(stream)
        stream.feed(b"RETR 1\r\nNOOP\r\n")
        await stream.line()
        await house.expunge(1)
        said = await stream.rest()
        await asyncio.wait([task], timeout=60)
        assert task.done()
    assert len(said) < 1_700_000
    assert b"\n.\r\n" not in said


async def test_a_hundred_thousand_messages_are_listed_quickly(house: Pop3House) -> None:
    await house.fill(ONE, 17)
    count = 1 << 17
    begin = time.process_time()
    said = await house.talk(secure(), *LOGIN, b"STAT", b"LIST", b"UIDL", b"DELE 7", b"RSET", b"QUIT")
    elapsed = time.process_time() - begin
    assert said[3] == b"+OK %d %d" % (count, count * len(ONE))
    assert said[5:8] == [b"1 23", b"2 23", b"3 23"]
    assert len(said) == 3 + 1 + 2 * (count + 2) + 3
    assert elapsed < 15


# The lock


async def test_one_session_at_a_time(house: Pop3House) -> None:
    await house.put(ONE)
    first, second = secure(), secure()
    async with house.session(first), house.session(second):
        assert (await log_in(first)).startswith(b"+OK")
        assert (await log_in(second)).startswith(b"-ERR [IN-USE] ")
        await say(first, b"QUIT")
        # Unlocked before the reply to QUIT, so that a client may come again at once.
        assert (await say(second, b"USER ann")).startswith(b"+OK")
        assert (await say(second, b"PASS tanstaaf")).startswith(b"+OK")


@pytest.mark.parametrize("how", ["end of input", "lost", "cancelled", "too many errors"])
async def test_a_session_that_breaks_off_removes_nothing_and_unlocks(house: Pop3House, how: str) -> None:
    await house.put(ONE, ONE)
    stream = secure()
    async with house.session(stream) as task:
        await log_in(stream)
        await say(stream, b"DELE 1")
        if how == "end of input":
            stream.feed_eof()
        elif how == "lost":
            stream.lose()
        elif how == "cancelled":
            task.cancel()
        else:
            stream.feed(b"EHLO me\r\n" * 25)
        await asyncio.wait([task], timeout=60)
    said = stream.take()
    if how == "cancelled":
        assert said.startswith(b"-ERR [SYS/TEMP] The server is shutting down")
    if how == "too many errors":
        assert said.count(b"\r\n") == 20 + 1
        assert said.endswith(b"-ERR Too many errors; closing\r\n")
    assert await house.kept() == [1, 2]
    assert (await house.talk(secure(), *LOGIN, b"QUIT"))[2].startswith(b"+OK")


# The store


async def test_a_store_that_fails_at_quit_removes_nothing(house: Pop3House) -> None:
    await house.fill(ONE, 12)
    before = await house.kept()
    stream = secure()
    async with house.session(stream):
        await log_in(stream)
        for number in range(1, len(before), 4):  # the list of what went needs a new page
            await say(stream, b"DELE %d" % number)
        await house.store.write(_no_more_pages)
        assert await say(stream, b"QUIT") == (
            b"-ERR [SYS/TEMP] The store failed, so no message was removed; try again later"
        )
        assert await stream.line() == b""
    assert await house.kept() == before
    said = await house.talk(secure(), *LOGIN, b"STAT", b"QUIT")
    assert said[3] == b"+OK %d %d" % (len(before), len(before) * len(ONE))


def _no_more_pages(tx: Transaction) -> None:
    """The disk is full from now on."""
    row = tx.one("PRAGMA page_count")
    assert row is not None
    tx.one(f"PRAGMA max_page_count = {int(row[0])}")


async def test_a_store_that_cannot_be_read(house: Pop3House) -> None:
    await house.put(ONE)
    stream = secure()
    async with house.session(stream):
        await log_in(stream)
        await house.store.write(lambda tx: tx.run("UPDATE blobs SET data = NULL"))
        assert (await say(stream, b"RETR 1")).startswith(b"-ERR [SYS/TEMP] ")
        assert (await say(stream, b"NOOP")) == b"+OK"


async def test_an_error_of_the_servers_own_is_told_and_undoes_the_login(house: Pop3House) -> None:
    house.directory.broken = True
    stream = secure()
    async with house.session(stream):
        assert (await log_in(stream)).startswith(b"-ERR [SYS/PERM] The server met an error of its own")
        assert await stream.line() == b""
    house.directory.broken = False
    assert (await house.talk(secure(), *LOGIN, b"QUIT"))[2].startswith(b"+OK")


async def test_an_account_without_inbox_is_not_left_locked(house: Pop3House) -> None:
    await house.store.write(lambda tx: tx.run("DELETE FROM mailboxes"))
    for _ in range(2):
        said = await house.talk(secure(), *LOGIN, b"QUIT")
        assert said[2].startswith(b"-ERR [SYS/PERM] ")


# Login


async def converse(stream: MemoryStream, mechanism: bytes, client: ScramClient) -> bytes:
    """The reply that ends a SCRAM login."""
    said = await say(stream, b"AUTH " + mechanism + b" " + encode(client.initial_response() or b""))
    while said.startswith(b"+ "):
        said = await say(stream, encode(client.respond(decode_response(said[2:]))))
    return said


@pytest.mark.parametrize("plus", [False, True])
async def test_scram(house: Pop3House, plus: bool) -> None:
    assert TLS.server_end_point is not None
    binding = TLS.server_end_point if plus else None
    name = b"SCRAM-SHA-256" + b"-PLUS" * plus
    stream = secure()
    async with house.session(stream):
        await stream.line()
        wrong = ScramClient("ann", "wrong", "nonce1", binding, plus)
        assert (await converse(stream, name, wrong)).startswith(b"-ERR [AUTH] ")
        nobody = ScramClient("nobody", PASSWORD, "nonce2", binding, plus)
        assert (await converse(stream, name, nobody)).startswith(b"-ERR [AUTH] ")
        right = ScramClient("ann", PASSWORD, "nonce3", binding, plus)
        assert (await converse(stream, name, right)).startswith(b"+OK Logged in")
    assert house.directory.failures == ["ann", "nobody"]


async def test_a_login_that_may_succeed_later(house: Pop3House) -> None:
    house.directory.denied = Denied(True, "too many failures; try again in 15 minutes")
    said = await house.talk(secure(), *LOGIN, b"AUTH PLAIN AGFubgB0YW5zdGFhZg==", b"QUIT")
    reply = b"-ERR [SYS/TEMP] Too many failures; try again in 15 minutes"
    assert said[2:4] == [reply, reply]


async def test_without_channel_binding_plus_is_not_offered(house: Pop3House) -> None:
    stream = MemoryStream(tls=TLSInfo("TLSv1.3", "x", None, None))
    assert b"SASL SCRAM-SHA-256 PLAIN LOGIN" in await house.talk(stream, b"CAPA", b"QUIT")


async def test_a_password_of_any_script_and_length_is_checked_not_cut(house: Pop3House) -> None:
    said = await house.talk(
        secure(),
        b"USER ann",
        "PASS пароль".encode(),
        b"USER ann",
        b"PASS " + b"p" * 1025,
        b"USER ann",
        b"PASS " + b"p" * 20_000,
        b"USER ann",
        b"PASS tan\0staaf",
        b"QUIT",
    )
    assert [line[:11] for line in said[2:9:2]] == [
        b"-ERR [AUTH]",
        b"-ERR [AUTH]",
        b"-ERR The li",
        b"-ERR [AUTH]",
    ]
    assert house.directory.failures == ["ann"]


async def test_what_is_pipelined_behind_stls_is_dropped(house: Pop3House) -> None:
    stream = MemoryStream()
    async with house.session(stream):
        await stream.line()
        assert await say(stream, b"STLS\r\nUSER eve\r\nCAPA") == b"+OK Begin TLS now"
        assert await say(stream, b"PASS tanstaaf") == b"-ERR Send USER first"


async def test_stls_without_a_certificate(house: Pop3House) -> None:
    house.services = replace(house.services, tls=None)
    said = await house.talk(MemoryStream(), b"CAPA", b"STLS", b"QUIT")
    assert b"STLS" not in said
    assert said[-2] == b"-ERR TLS is not set up on this server"


async def test_half_closed_in_the_midst_of_a_login(house: Pop3House) -> None:
    assert await house.talk(secure(), b"AUTH PLAIN") == [b"+OK mail.example.org POP3 ready", b"+ "]
    assert await house.talk(secure(), b"AUTH PLAIN\r\nAGFub") == [
        b"+OK mail.example.org POP3 ready",
        b"+ ",
        b"-ERR [AUTH] The response is not valid base64",
    ]


# Time, and noise


async def test_silence_ends_the_session_without_a_word(house: Pop3House) -> None:
    await house.put(ONE)
    house.limit(pop3_idle_timeout=0.05)
    stream = secure()
    async with house.session(stream) as task:
        stream.feed(b"".join(line + b"\r\n" for line in (*LOGIN, b"DELE 1")))
        for _ in range(4):
            assert (await stream.line()).startswith(b"+OK")
        assert await stream.line() == b""  # RFC 1939 3
        await asyncio.wait([task], timeout=60)
        assert task.done()
    assert await house.kept() == [1]


async def test_single_octets_do_not_keep_a_connection(house: Pop3House) -> None:
    stream = secure()
    async with house.session(stream) as task:
        await log_in(stream)
        for _ in range(3):
            house.clock.advance(500)
            assert await say(stream, b"NOOP") == b"+OK"  # each whole command gives time for the next
        house.clock.advance(500)
        stream.feed(b"N")
        await asyncio.sleep(0.01)
        house.clock.advance(101)
        stream.feed(b"O")
        await asyncio.wait([task], timeout=60)
        assert task.done()
        assert stream.take() == b""


async def test_who_never_logs_in_has_no_more_time_for_asking(house: Pop3House) -> None:
    stream = secure()
    async with house.session(stream) as task:
        await stream.line()
        house.clock.advance(599)
        assert (await say(stream, b"CAPA")).startswith(b"+OK")
        house.clock.advance(2)
        stream.feed(b"CAPA\r\n")
        await asyncio.wait([task], timeout=60)
        assert task.done()


async def test_shutting_down_waits_for_what_was_asked(house: Pop3House) -> None:
    await house.put(b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 50_000)
    stream = secure(write_ahead=1024)
    session = Pop3Session(stream, house.services, house.policy)
    task = asyncio.create_task(session.run())
    await log_in(stream)
    stream.feed(b"DELE 1\r\nRSET\r\nRETR 1\r\n")
    await stream.line()
    session.shut_down()
    task.add_done_callback(lambda _: stream.abort())
    said = await stream.rest()
    await task
    assert said.endswith(
        b"cdef\r\n.\r\n-ERR [SYS/TEMP] The server is shutting down; try again in a minute\r\n"
    )


async def test_waking_a_session_does_it_no_harm(house: Pop3House) -> None:
    stream = secure()
    async with house.session(stream):
        await log_in(stream)
        stream.wake()
        assert await say(stream, b"NOOP") == b"+OK"


async def test_an_over_long_line_is_one_error(house: Pop3House) -> None:
    said = await house.talk(secure(), b"X" * 300_000, b"CAPA", b"QUIT")
    assert said[1:3] == [b"-ERR The line is too long", b"+OK Capabilities:"]
    assert said[-1] == b"+OK Goodbye"


async def test_pipelined_listings_are_bounded(house: Pop3House) -> None:
    await house.fill(ONE, 10)
    stream = secure(write_ahead=65_536)
    stream.feed(
        b"".join(line + b"\r\n" for line in LOGIN) + b"UIDL\r\n" * 80 + b"RETR 1\r\n" * 1000 + b"QUIT\r\n"
    )
    count = 0
    async with house.session(stream):
        while await stream.line() != b"+OK Goodbye":
            count += 1
    assert count == 3 + 80 * (1024 + 2) + 1000 * 5
    assert stream.most_unread < 65_536 * 4


@given(
    st.lists(
        st.binary(max_size=80) | st.sampled_from([*LOGIN, b"AUTH PLAIN", b"RETR 1", b"LIST", b"STLS"]),
        max_size=20,
    )
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_noise_is_answered_or_hung_up_on(house: Pop3House, lines: list[bytes]) -> None:
    said = await house.talk(secure(), *lines)
    assert said[0] == b"+OK mail.example.org POP3 ready"
    assert all(line.startswith((b"+", b"-ERR ", b".", b"1 23", b"S", b"PLAIN", b"LOGIN")) for line in said)


# UTF-8 in headers (RFC 6856)

UTF8 = "From: José <josé@exämple.org>\r\nSubject: Grüße\r\nReceived: für wen\r\n\r\nÄ body\r\n".encode()


async def test_a_header_in_utf8_is_for_those_who_say_so(house: Pop3House) -> None:
    await house.put(UTF8)
    said = b"\r\n".join(await house.talk(secure(), b"UTF8", *LOGIN, b"RETR 1", b"QUIT"))
    assert UTF8 in said


async def test_others_get_a_header_in_ascii_and_the_body_as_it_is(house: Pop3House) -> None:
    await house.put(UTF8, ONE)
    said = await house.talk(secure(), *LOGIN, b"RETR 1", b"TOP 1 0", b"RETR 2", b"QUIT")
    begin = next(index for index, line in enumerate(said) if line.endswith(b"octets"))
    end = said.index(b".", begin)
    message = b"\r\n".join(said[begin + 1 : end]) + b"\r\n"
    header, _, body = message.partition(b"\r\n\r\n")
    assert header.isascii()
    assert body == "Ä body\r\n".encode()
    assert b"invalid@internationalized-address.invalid" in header
    assert b"Received" not in header
    assert said[begin] == b"+OK %d octets" % len(message)
    assert b"\r\n".join(said).count(header) == 2  # TOP shows the same
    assert ONE in b"\r\n".join(said) + b"\r\n"


async def test_a_header_that_is_too_long_to_be_rewritten_is_refused(house: Pop3House) -> None:
    await house.put(b"X-Long: " + "ä".encode() * CHUNK + b"\r\n\r\nbody\r\n")
    said = await house.talk(secure(), *LOGIN, b"RETR 1", b"TOP 1 0", b"DELE 1", b"QUIT")
    assert sum(line.startswith(b"-ERR [UTF8] ") for line in said) == 2
