"""What the dialogs cannot say: time, memory, logins with nonces, and peers that send anything."""

from __future__ import annotations

import asyncio
import re
import ssl
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp.house import ALICE, END_POINT, TLS_INFO, House, MemoryStream, Message

from mailwright.base.limits import Limits
from mailwright.net.api import Peer, TLSInfo
from mailwright.sasl.client import ScramClient
from mailwright.sasl.wire import decode_response, encode
from mailwright.smtp import replies
from mailwright.smtp.api import Policy, Role, SessionInfo, with_protocol
from mailwright.smtp.session import WRITTEN, Session

QUICK = Policy(
    Role.RELAY,
    "mx.example.org",
    tls_context=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
    error_delay=0,
    auth_delay=0,
)


def talk(policy: Policy, *pieces: bytes, house: House | None = None, tls: TLSInfo | None = None) -> bytes:
    house = house or House()
    stream = MemoryStream([[piece] for piece in pieces], tls)
    asyncio.run(Session(stream, policy, house, house, house.clock).run())
    assert stream.closed
    return stream.said


class ScramStream(MemoryStream):
    """A client that logs in by SCRAM: each read is computed from what was said."""

    def __init__(self, client: ScramClient) -> None:
        super().__init__([], TLS_INFO)
        self.client = client
        self.turns = 0

    async def read(self, timeout: float) -> bytes | None:
        self.turns += 1
        if self.turns == 1:
            return b"EHLO laptop\r\n"
        if self.turns == 2:
            return b"AUTH %s %s\r\n" % (
                self.client.name.encode(),
                encode(self.client.initial_response() or b""),
            )
        last = self.said.splitlines()[-1]
        if not last.startswith(b"334 "):
            return b""
        return encode(self.client.respond(decode_response(last[4:]))) + b"\r\n"


def scram(client: ScramClient, policy: Policy, house: House) -> tuple[bytes, Session]:
    stream = ScramStream(client)
    session = Session(stream, policy, house, house, house.clock)
    asyncio.run(session.run())
    return stream.said.splitlines()[-1], session


@pytest.mark.parametrize("plus", [True, False])
def test_scram_through_a_session(plus: bool) -> None:
    client = ScramClient("alice", "secret", "cnonce", END_POINT if plus else None, plus)
    said, session = scram(client, QUICK._replace(role=Role.SUBMISSION), House())
    assert said == b"235 2.7.0 Welcome"
    assert client.complete
    assert session.info.account == ALICE


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", "secret")])
def test_scram_that_fails_says_the_same_for_unknown_users(user: str, password: str) -> None:
    house = House()
    client = ScramClient(user, password, "cnonce", END_POINT, True)
    said, session = scram(client, QUICK._replace(role=Role.SUBMISSION), house)
    assert said == b"535 5.7.8 The user name or the password is wrong"
    assert session.info.account is None
    assert house.failures == [user]


def test_y_flag_is_fine_where_plus_is_not_offered() -> None:
    client = ScramClient("alice", "secret", "cnonce", END_POINT, plus_offered=False)
    assert client.initial_response() == b"y,,n=alice,r=cnonce"
    policy = QUICK._replace(role=Role.SUBMISSION, mechanisms=("SCRAM-SHA-256", "PLAIN"))
    assert scram(client, policy, House())[0].startswith(b"235")
    client = ScramClient("alice", "secret", "cnonce", END_POINT, plus_offered=False)
    assert scram(client, QUICK._replace(role=Role.SUBMISSION), House())[0].startswith(b"535")


def test_auth_line_that_is_too_long() -> None:
    policy = QUICK._replace(role=Role.SUBMISSION)
    said = talk(
        policy,
        b"HELO me\r\n",
        b"AUTH PLAIN\r\n",
        b"A" * 20_000,
        b"AAAA\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        tls=TLS_INFO,
    )
    assert re.findall(rb"^(\d+) ", said, re.M) == [b"220", b"250", b"334", b"500", b"250", b"221"]


def test_errors_slow_the_client_down(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    policy = QUICK._replace(limits=Limits(smtp_errors=8), error_delay=1.5)
    said = talk(policy, b"FOO\r\n" * 100)
    assert said.count(b"500 5.5.2") == 7
    assert said.endswith(b"421 4.7.0 Too many errors; closing\r\n")
    assert slept == [1.5] * 3


def test_failed_logins_slow_down_more_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    policy = QUICK._replace(role=Role.SUBMISSION, auth_delay=2.0)
    talk(policy, b"HELO me\r\n" + b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n" * 9, tls=TLS_INFO)
    assert slept == [2.0, 4.0, 6.0, 8.0]


class Sink(Message):
    """Forgets what it is given."""

    async def write(self, data: bytes) -> None:
        self.size += len(data)


class SinkHouse(House):
    def open_message(self) -> Message:
        self.opened.append(Sink())
        return self.opened[-1]


class Flood(MemoryStream):
    """Sends a beginning, then a piece so many times, then an end."""

    def __init__(self, begin: bytes, piece: bytes, times: int, end: bytes) -> None:
        super().__init__([])
        self.begin, self.piece, self.times, self.end = begin, piece, times, end

    async def read(self, timeout: float) -> bytes | None:
        if self.begin:
            data, self.begin = self.begin, b""
        elif self.times:
            self.times -= 1
            data = self.piece
        else:
            data, self.end = self.end, b""
        return data


ENVELOPE = b"HELO me\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<bob@example.org>\r\n"
LINES = b"x" * 1022 + b"\r\n"


@pytest.mark.parametrize(
    ("begin", "piece", "end", "code"),
    [
        (ENVELOPE + b"DATA\r\n", LINES * 64, b".\r\n", b"250"),
        (ENVELOPE + b"DATA\r\n", b"x" * 65_536, b"\r\n.\r\n", b"250"),
        (ENVELOPE + b"DATA\r\n", b"\r\n" * 32_768, b".\r\n", b"250"),
        (ENVELOPE + b"DATA\r\n", b"\n.\n." * 16_384, b"\r\n.\r\n", b"554"),
        (ENVELOPE + b"BDAT 26214400 LAST\r\n", LINES * 64, b"", b"250"),
        (ENVELOPE, b"BDAT 65536\r\n" + LINES * 64, b"BDAT 0 LAST\r\n", b"250"),
        (b"", b"y" * 65_536, b"\r\n", b"500 5.5.2"),
    ],
    ids=["lines", "one line", "empty lines", "bare LF", "one chunk", "many chunks", "a command of 25 MB"],
)
def test_25_megabytes_take_little_memory(begin: bytes, piece: bytes, end: bytes, code: bytes) -> None:
    house = SinkHouse()
    stream = Flood(begin, piece, 400, end + b"QUIT\r\n")
    session = Session(stream, QUICK, house, house, house.clock)
    tracemalloc.start()
    try:
        asyncio.run(session.run())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stream.said.splitlines()[-2].startswith(code)
    assert peak < 1_500_000


def test_starttls_forgets_who_spoke() -> None:
    house = House()
    stream = MemoryStream([[b"EHLO before\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"], [b"STARTTLS\r\n"]])
    policy = QUICK._replace(role=Role.SUBMISSION, allow_plaintext_auth=True)
    session = Session(stream, policy, house, house, house.clock)
    asyncio.run(session.run())
    assert b"235 2.7.0" in stream.said
    info = session.info
    assert (info.hello, info.extended, info.tls, info.account) == ("", False, TLS_INFO, None)


def test_replies_to_a_pipelined_flood_are_sent_in_small_portions() -> None:
    house = House()
    portions: list[int] = []

    class Watched(MemoryStream):
        def write(self, data: bytes) -> None:
            portions.append(len(data))
            super().write(data)

    stream = Watched([[b"EHLO me\r\n" * 1000 + b"QUIT\r\n"]])
    asyncio.run(Session(stream, QUICK, house, house, house.clock).run())
    assert sum(portions) > 10 * WRITTEN
    assert max(portions) < WRITTEN + 1024


@pytest.mark.parametrize(
    "content", [b"DATA\r\none\r\ntwo\r\n.", b"BDAT 20 LAST\r\none\r\n", b"BDAT 3\r\none"]
)
def test_the_log_tells_of_a_message_that_breaks_off(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    begin = b"EHLO me\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\n"
    talk(QUICK, begin + content)
    assert "message of <a@example.net> from 192.0.2.7:40000 broke off after " in caplog.text
    caplog.clear()
    talk(QUICK, begin + b"DATA\r\none\r\n.\r\n" + begin[9:])
    assert "broke off" not in caplog.text


@pytest.mark.parametrize("rest", [b"RSET\r\n", b"BDAT 1\r\nxBDAT 1 LAST\r\nx"])
def test_a_refused_chunk_is_on_record_once_whatever_follows(rest: bytes) -> None:
    house = House()
    begin = b"EHLO me\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\n"
    talk(QUICK, begin + b"BDAT 3\r\na\nb" + rest, house=house)
    ((envelope, refusal),) = house.refused
    assert (str(envelope.recipients[0].path), refusal) == ("alice@example.org", replies.BARE_LINE_END)


def test_too_big_a_message_is_freed_before_its_end() -> None:
    house = House()
    policy = QUICK._replace(limits=Limits(message_size=1000))
    stream = MemoryStream(
        [[ENVELOPE], [b"DATA\r\n"], [LINES], [LINES, lambda: closed.append(house.opened[0].closed)]]
    )
    closed: list[bool] = []
    asyncio.run(Session(stream, policy, house, house, house.clock).run())
    assert closed == [True]


@pytest.mark.parametrize(
    ("role", "extended", "tls", "account", "utf8", "keyword"),
    [
        (Role.RELAY, False, False, False, False, "SMTP"),
        (Role.RELAY, True, False, False, False, "ESMTP"),
        (Role.RELAY, True, True, False, False, "ESMTPS"),
        (Role.SUBMISSION, True, True, True, False, "ESMTPSA"),
        (Role.SUBMISSION, True, False, True, False, "ESMTPA"),
        (Role.RELAY, True, False, False, True, "UTF8SMTP"),
        (Role.SUBMISSION, True, True, True, True, "UTF8SMTPSA"),
        (Role.LMTP, True, False, False, False, "LMTP"),
        (Role.LMTP, True, True, False, False, "LMTPS"),
        (Role.LMTP, True, False, False, True, "UTF8LMTP"),
    ],
)
def test_with_keyword(role: Role, extended: bool, tls: bool, account: bool, utf8: bool, keyword: str) -> None:
    info = SessionInfo(
        "1", role, Peer("192.0.2.1"), "x", extended, TLS_INFO if tls else None, ALICE if account else None
    )
    assert with_protocol(info, utf8) == keyword


_LINES = [
    b"EHLO me",
    b"HELO me",
    b"LHLO me",
    b"MAIL FROM:<alice@example.org>",
    b"MAIL FROM:<a@example.net> BODY=BINARYMIME",
    b"RCPT TO:<bob@example.org>",
    b"RCPT TO:<nobody@example.org>",
    b"RCPT TO:<x@elsewhere.example>",
    b"DATA",
    b"text\r\n.",
    b"bare\nLF\r\n.",
    b".",
    b"BDAT 4\r\nab",
    b"BDAT 2 LAST\r\n",
    b"BDAT 0 LAST",
    b"RSET",
    b"NOOP",
    b"QUIT",
    b"AUTH PLAIN AGFsaWNlAHNlY3JldA==",
    b"AUTH PLAIN",
    b"AUTH LOGIN",
    b"YWxpY2U=",
    b"*",
    b"VRFY x",
    b"\xff\x00",
    b"",
]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(_LINES), max_size=20),
    st.sampled_from(list(Role)),
    st.integers(1, 40),
    st.booleans(),
)
def test_anything_cut_anywhere_is_answered_alike(
    lines: list[bytes], role: Role, step: int, tls: bool
) -> None:
    octets = b"".join(line + b"\r\n" for line in lines)
    policy = QUICK._replace(role=role)
    said, kept = [], []
    for size in (step, len(octets) or 1):
        house = House()
        pieces = [octets[start : start + size] for start in range(0, len(octets), size)]
        said.append(talk(policy, *pieces, house=house, tls=TLS_INFO if tls else None))
        kept.append([(envelope, data) for _, envelope, data in house.kept])
        assert all(message.closed for message in house.opened)
        if role is Role.SUBMISSION:
            assert all(info.account == ALICE for info, _, _ in house.kept)
        else:
            assert all(
                recipient.path.domain == "example.org"
                for _, envelope, _ in house.kept
                for recipient in envelope.recipients
            )
    assert said[0] == said[1]
    assert kept[0] == kept[1]
    assert all(re.fullmatch(rb"[2-5]\d\d[ -][ -~]*", line) for line in said[0].split(b"\r\n")[:-1])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(list(Role)))
def test_no_octets_make_it_raise(octets: bytes, role: Role) -> None:
    said = talk(QUICK._replace(role=role), octets)
    assert said.startswith(b"220 ")
    assert b"421 4.3.0" not in said
