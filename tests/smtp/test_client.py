"""The client's machine: what it sends, how it reads replies, and peers that misbehave."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.sasl.client import LoginClient, PlainClient, ScramClient
from mailwright.smtp.client import (
    ClientConnection,
    Closed,
    Event,
    PeerFault,
    ReplyReceived,
    Sent,
    parse_extensions,
)
from mailwright.smtp.connection import Connection, DataChunk, DataEnd
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Data, Mail, Rcpt, parse_command
from mailwright.smtp.syntax.parameters import MailParameters, RcptParameters
from mailwright.smtp.syntax.path import NULL_PATH, Path

ALICE = Path("alice", "example.org")
BOB = Path("bob", "example.org")
CAROL = Path("carol", "example.org")
EVERYTHING = (
    b"250-mx.example.net greets you\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
    b"250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n250-REQUIRETLS\r\n250-LIMITS MAILMAX=5 RCPTMAX=100\r\n"
    b"250 AUTH SCRAM-SHA-256 plain\r\n"
)


def all_events(connection: ClientConnection) -> list[Event]:
    found = []
    while (event := connection.next_event()) is not None:
        found.append(event)
    return found


def feed(connection: ClientConnection, octets: bytes) -> list[Event]:
    connection.receive_data(octets)
    return all_events(connection)


def greeted(hello: bytes = EVERYTHING, *, lmtp: bool = False) -> ClientConnection:
    connection = ClientConnection(lmtp=lmtp)
    connection.hello("client.example")
    feed(connection, b"220 mx.example.net ready\r\n" + hello)
    assert connection.replies_due == 0
    return connection


def test_greeting_and_extensions() -> None:
    connection = ClientConnection()
    assert feed(connection, b"220 mx.example.net ready\r\n") == [
        ReplyReceived(Reply(220, "", ("mx.example.net ready",)), Sent("GREETING"))
    ]
    assert connection.hello("client.example") == b"EHLO client.example\r\n"
    (event,) = feed(connection, EVERYTHING)
    assert isinstance(event, ReplyReceived)
    assert event.to == Sent("EHLO")
    offers = connection.extensions
    assert offers.hostname == "mx.example.net"
    assert "PIPELINING" in offers
    assert "STARTTLS" not in offers
    assert offers.size == 1_000_000
    assert offers.mechanisms == ("SCRAM-SHA-256", "PLAIN")
    assert (offers.limit("RCPTMAX"), offers.limit("MAILMAX"), offers.limit("RCPTDOMAINMAX")) == (100, 5, None)
    connection.reset()
    assert "PIPELINING" not in connection.extensions


def test_extensions_of_odd_servers() -> None:
    offers = parse_extensions(
        Reply(250, "", ("mx", "auth=LOGIN PLAIN", "AUTH LOGIN", "", "SIZE", "size lots", "LIMITS RCPTMAX=x"))
    )
    assert offers.mechanisms == ("LOGIN", "PLAIN", "LOGIN")
    assert offers.size is None
    assert offers.limit("RCPTMAX") is None


def test_pipelined_transaction_knows_which_reply_is_whose() -> None:
    connection = greeted()
    sent = (
        connection.mail_from(ALICE) + connection.rcpt_to(BOB) + connection.rcpt_to(CAROL) + connection.data()
    )
    assert sent == (
        b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<carol@example.org>\r\nDATA\r\n"
    )
    replies = b"250 2.1.0 ok\r\n550-5.1.1 no such\r\n550 5.1.1 user\r\n250 2.1.5 ok\r\n354 go\r\n"
    assert feed(connection, replies) == [
        ReplyReceived(Reply(250, "2.1.0", ("ok",)), Sent("MAIL", ALICE)),
        ReplyReceived(Reply(550, "5.1.1", ("no such", "user")), Sent("RCPT", BOB)),
        ReplyReceived(Reply(250, "2.1.5", ("ok",)), Sent("RCPT", CAROL)),
        ReplyReceived(Reply(354, "", ("go",)), Sent("DATA")),
    ]
    assert connection.content(b"Subject: x\r\n\r\n.dot") == b"Subject: x\r\n\r\n..dot"
    assert connection.end_content() == b"\r\n.\r\n"
    assert feed(connection, b"250 2.0.0 queued\r\n") == [
        ReplyReceived(Reply(250, "2.0.0", ("queued",)), Sent("CONTENT", last=True))
    ]


def test_lmtp_has_a_reply_for_each_accepted_recipient() -> None:
    connection = greeted(lmtp=True)
    connection.mail_from(ALICE)
    for path in (ALICE, BOB, CAROL):
        connection.rcpt_to(path)
    connection.data()
    feed(connection, b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n")
    connection.end_content()
    assert feed(connection, b"250 2.0.0 kept\r\n452 4.2.2 full\r\n") == [
        ReplyReceived(Reply(250, "2.0.0", ("kept",)), Sent("CONTENT", ALICE)),
        ReplyReceived(Reply(452, "4.2.2", ("full",)), Sent("CONTENT", CAROL)),
    ]
    assert connection.replies_due == 0


@pytest.mark.parametrize("between", ["rset", "nothing"])
def test_lmtp_forgets_the_recipients_of_an_earlier_message(between: str) -> None:
    connection = greeted(lmtp=True)
    connection.mail_from(ALICE)
    connection.rcpt_to(ALICE)
    connection.rcpt_to(BOB)
    feed(connection, b"250 ok\r\n250 ok\r\n250 ok\r\n")
    if between == "rset":
        connection.rset()
        feed(connection, b"250 ok\r\n")
    connection.mail_from(ALICE)
    connection.rcpt_to(CAROL)
    connection.bdat(b"x", True)
    events = feed(connection, b"250 ok\r\n250 ok\r\n250 kept\r\n")
    assert events[-1] == ReplyReceived(Reply(250, "", ("kept",)), Sent("BDAT", CAROL))
    assert connection.replies_due == 0


def test_replies_injected_before_tls_are_dropped() -> None:
    connection = greeted()
    connection.starttls()
    connection.receive_data(b"220 ready\r\n250-evil\r\n250-AUTH PLAIN\r\n250 X")
    (event,) = [connection.next_event()]
    assert event == ReplyReceived(Reply(220, "", ("ready",)), Sent("STARTTLS"))
    connection.reset()
    connection.hello("client.example")
    assert feed(connection, b"250 mx.example.net\r\n") == [
        ReplyReceived(Reply(250, "", ("mx.example.net",)), Sent("EHLO"))
    ]
    assert connection.extensions.mechanisms == ()


def test_lmtp_with_chunks_all_pipelined() -> None:
    connection = greeted(lmtp=True)
    sent = connection.mail_from(NULL_PATH) + connection.rcpt_to(ALICE) + connection.rcpt_to(BOB)
    sent += connection.bdat(b"ab", False) + connection.bdat(b"", True) + connection.quit()
    assert sent.endswith(b"BDAT 2\r\nabBDAT 0 LAST\r\nQUIT\r\n")
    events = feed(connection, b"250 a\r\n250 a\r\n250 b\r\n250 c\r\n250 alice\r\n451 bob\r\n221 bye\r\n")
    answered = [
        (event.to.verb, event.to.path, event.reply.code)
        for event in events
        if isinstance(event, ReplyReceived)
    ]
    assert answered[-4:] == [
        ("BDAT", None, 250),
        ("BDAT", ALICE, 250),
        ("BDAT", BOB, 451),
        ("QUIT", None, 221),
    ]


def test_parameters_only_where_offered() -> None:
    parameters = MailParameters(1000, "8BITMIME", True, "HDRS", "a+b=c", "", True)
    sent = greeted().mail_from(Path("jürgen", "example.org"), parameters)
    assert (
        sent
        == (
            "MAIL FROM:<jürgen@example.org> SIZE=1000 BODY=8BITMIME SMTPUTF8 "
            "RET=HDRS ENVID=a+2Bb+3Dc AUTH=<> REQUIRETLS\r\n"
        ).encode()
    )
    assert parse_command(sent[:-2]) == Mail(Path("jürgen", "example.org"), parameters)
    plain = greeted(b"250 mx\r\n")
    assert plain.mail_from(ALICE, parameters) == b"MAIL FROM:<alice@example.org>\r\n"
    dsn = RcptParameters(("SUCCESS", "DELAY"), "rfc822;Bob+x@example.org")
    assert plain.rcpt_to(BOB, dsn) == b"RCPT TO:<bob@example.org>\r\n"
    sent = greeted().rcpt_to(BOB, dsn)
    assert sent == b"RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@example.org\r\n"
    assert parse_command(sent[:-2]) == Rcpt(BOB, dsn)
    dsn = RcptParameters((), "utf-8;jürgen+=\\x@example.org")
    sent = greeted(b"250-mx\r\n250 DSN\r\n").rcpt_to(BOB, dsn)  # RFC 6533 3: without SMTPUTF8 in ASCII
    assert (
        sent == rb"RCPT TO:<bob@example.org> ORCPT=utf-8;j\x{FC}rgen\x{2B}\x{3D}\x{5C}x@example.org" b"\r\n"
    )
    assert parse_command(sent[:-2]) == Rcpt(BOB, dsn)
    binary = MailParameters(body="BINARYMIME")
    assert greeted().mail_from(NULL_PATH, binary) == b"MAIL FROM:<> BODY=BINARYMIME\r\n"
    assert (
        greeted(b"250-mx\r\n250 8BITMIME\r\n").mail_from(NULL_PATH, binary)
        == b"MAIL FROM:<> BODY=8BITMIME\r\n"
    )


def test_no_command_becomes_two() -> None:
    with pytest.raises(ValueError, match="more than one command"):
        greeted().rcpt_to(Path("bob>\r\nRCPT TO:<evil", "example.org"))
    with pytest.raises(ValueError, match="more than one command"):
        ClientConnection().hello("a\nb")


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\n.b\r\n..\r\n", b"a\r\n..\r\n..b\r\n...\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"a\n.\nb\r.\rc", b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"),
        (b"a\r\r\n.", b"a\r\n\r\n..\r\n.\r\n"),
        (b"\n", b"\r\n.\r\n"),
    ],
)
def test_content_whole_and_by_octets(message: bytes, sent: bytes) -> None:
    whole, octets = ClientConnection(), ClientConnection()
    whole.data()
    octets.data()
    assert whole.content(message) + whole.end_content() == sent
    assert (
        b"".join(octets.content(message[i : i + 1]) for i in range(len(message))) + octets.end_content()
        == sent
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"\r\n", b".", b"..", b"a", b"bc", b"\r", b"\n"]), max_size=20),
    st.integers(1, 7),
)
def test_server_reads_what_the_client_sends(words: list[bytes], step: int) -> None:
    message = b"".join(words)
    client = ClientConnection()
    sent = client.data() + b"".join(
        client.content(message[i : i + step]) for i in range(0, len(message), step)
    )
    sent += client.end_content() + b"NOOP\r\n"
    server = Connection()
    server.receive_data(sent)
    assert server.next_event() == Data()
    server.begin_data()
    kept = b""
    while isinstance(event := server.next_event(), DataChunk):
        kept += event.data
    assert event == DataEnd(True, False)
    expected = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert kept in (expected, expected + b"\r\n")
    assert server.has_buffered


def test_login() -> None:
    connection = greeted()
    assert connection.auth(PlainClient("alice", "secret")) == b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"
    assert feed(connection, b"235 2.7.0 welcome\r\n") == [
        ReplyReceived(Reply(235, "2.7.0", ("welcome",)), Sent("AUTH"))
    ]
    assert connection.auth(LoginClient("alice", "secret")) == b"AUTH LOGIN\r\n"
    (event,) = feed(connection, b"334 VXNlcm5hbWU6\r\n")
    assert isinstance(event, ReplyReceived)
    assert connection.auth_response(event.reply) == b"YWxpY2U=\r\n"
    (event,) = feed(connection, b"334 \r\n")
    assert isinstance(event, ReplyReceived)
    assert connection.auth_response(event.reply) == b"c2VjcmV0\r\n"
    (event,) = feed(connection, b"334 bW9yZT8=\r\n")
    assert isinstance(event, ReplyReceived)
    assert connection.auth_response(event.reply) == b"*\r\n"
    assert connection.replies_due == 1


def test_a_server_that_welcomes_without_proof_is_not_believed() -> None:
    connection = greeted()
    connection.auth(ScramClient("alice", "secret", "nonce", None, False))
    (event,) = feed(connection, b"235 2.7.0 welcome\r\n")
    assert isinstance(event, PeerFault)
    assert connection.next_event() is None


@pytest.mark.parametrize(
    "challenge", [b"334 not base64!\r\n", b"334\r\n334 *\r\n", b"334 " + b"QUFB" * 1000 + b"\r\n"]
)
def test_bad_challenges_are_cancelled(challenge: bytes) -> None:
    connection = greeted()
    connection.auth(ScramClient("alice", "secret", "nonce", None, False))
    (event, *_) = feed(connection, challenge)
    assert isinstance(event, ReplyReceived)
    answers = [connection.auth_response(event.reply)]
    assert answers[0] in (b"*\r\n", b"biwsbj1hbGljZSxyPW5vbmNl\r\n")


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"220 mx\n", Reply(220, "", ("mx",))),
        (b"220\r\n", Reply(220, "", ("",))),
        (b"220-a\r\n220-\r\n220 b\r\n", Reply(220, "", ("a", "", "b"))),
        (b"554 5.7.1 go away\r\n", Reply(554, "5.7.1", ("go away",))),
        (b"554 4.7.1 odd\r\n", Reply(554, "", ("4.7.1 odd",))),
        (b"554-5.7.1 a\r\n554-b\r\n554 5.7.1\r\n", Reply(554, "5.7.1", ("a", "b", ""))),
        (b"220 \xff\x07\xc3\xbc\r\n", Reply(220, "", ("\ufffd?ü",))),
        (
            b"220-first\r\n250 codes differ: the last counts\r\n",
            Reply(250, "", ("first", "codes differ: the last counts")),
        ),
    ],
)
def test_replies_whole_and_by_octets(octets: bytes, reply: Reply) -> None:
    assert feed(ClientConnection(), octets) == [ReplyReceived(reply, Sent("GREETING"))]
    connection = ClientConnection()
    found = [event for i in range(len(octets)) for event in feed(connection, octets[i : i + 1])]
    assert found == [ReplyReceived(reply, Sent("GREETING"))]


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b"22 short\r\n",
        b"120 no such class\r\n",
        b"220_odd\r\n",
        b"220 ready\r\n250 unasked\r\n",
        b"\xff\xfe\r\n",
    ],
)
def test_what_is_not_smtp(octets: bytes) -> None:
    connection = ClientConnection()
    assert isinstance(feed(connection, octets)[-1], PeerFault)
    assert feed(connection, b"220 ready\r\n") == []


def test_421_may_come_unasked() -> None:
    connection = greeted()
    assert feed(connection, b"421 4.3.2 going down\r\n") == [
        ReplyReceived(Reply(421, "4.3.2", ("going down",)), Sent(""))
    ]


@pytest.mark.parametrize("banner", [b"220-ten megabytes of banner\r\n", b"x", b"220-\n"])
def test_endless_banner_is_cut(banner: bytes) -> None:
    connection = ClientConnection()
    began = time.process_time()
    piece = banner * (16_384 // len(banner))
    events = [event for _ in range(640) for event in feed(connection, piece)]
    assert len(events) == 1
    assert isinstance(events[0], PeerFault)
    assert time.process_time() - began < 1


def test_closed() -> None:
    connection = greeted()
    connection.mail_from(ALICE)
    connection.rcpt_to(BOB)
    assert feed(connection, b"250 ok\r\n250-hal") == [
        ReplyReceived(Reply(250, "", ("ok",)), Sent("MAIL", ALICE)),
    ]
    assert connection.due == (Sent("RCPT", BOB),)
    assert feed(connection, b"") == [Closed(1)]
    assert feed(connection, b"") == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"220 a\r\n", b"250-b\r\n", b"250 c\r\n", b"\r\n", b"2", b"421 x\n", b"-", b"\xff"]),
        max_size=8,
    ),
    st.integers(1, 9),
)
def test_any_cut_gives_the_same_replies(words: list[bytes], step: int) -> None:
    octets = b"".join(words)
    whole, cut = ClientConnection(), ClientConnection()
    whole.hello("client.example")
    cut.hello("client.example")
    found = [event for i in range(0, len(octets), step) for event in feed(cut, octets[i : i + step])]
    assert found + feed(cut, b"") == (feed(whole, octets) if octets else []) + feed(whole, b"")
