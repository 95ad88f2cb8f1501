"""ENVELOPE as clients can read it (RFC 3501 7.4.2)."""

from __future__ import annotations

from typing import Any

from message.imap_reader import read

from mailwright.message.header import decode_header
from mailwright.message.parser import parse_message
from mailwright.message.structure import envelope, envelope_utf8


def of(header: str | bytes) -> Any:
    raw = header.encode() if isinstance(header, str) else header
    return read(envelope(parse_message(raw + b"\n\n")))


def test_all_fields_in_their_order() -> None:
    found = envelope(
        parse_message(
            b"Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\nFrom: Fred Foobar <foobar@Blurdybloop.example>\r\n"
            b"Sender: s@x\r\nReply-To: r@x\r\nSubject: afternoon meeting\r\n"
            b"To: mooch@owatagu.example\r\nCc: a@x, b@y\r\nBcc: c@x\r\n"
            b"In-Reply-To: <1@x>\r\nMessage-Id: <B27397-0100000@Blurdybloop.example>\r\n\r\n"
        )
    )
    assert found == (
        b'("Mon, 7 Feb 1994 21:52:25 -0800 (PST)" "afternoon meeting" '
        b'(("Fred Foobar" NIL "foobar" "Blurdybloop.example")) '
        b'((NIL NIL "s" "x")) ((NIL NIL "r" "x")) ((NIL NIL "mooch" "owatagu.example")) '
        b'((NIL NIL "a" "x")(NIL NIL "b" "y")) ((NIL NIL "c" "x")) "<1@x>" "<B27397-0100000@Blurdybloop.example>")'
    )


def test_sender_and_reply_to_default_to_from() -> None:
    value = of("From: a@x")
    assert value[2] == value[3] == value[4] == [[None, None, b"a", b"x"]]
    assert of("From: a@x\nSender:\nReply-To: ")[4] == value[2]
    assert of("Subject: x")[2:8] == [None] * 6


def test_groups_and_routes() -> None:
    value = of("To: Friends: a@x, Bob <b@y>;, c@z, undisclosed-recipients:;\nCc: <@r1,@r2:d@w>")
    assert value[5] == [
        [None, None, b"Friends", None], [None, None, b"a", b"x"], [b"Bob", None, b"b", b"y"], [None] * 4,
        [None, None, b"c", b"z"], [None, None, b"undisclosed-recipients", None], [None] * 4,
    ]  # fmt: skip
    assert value[6] == [[None, b"@r1,@r2", b"d", b"w"]]


def test_what_is_missing_in_an_address() -> None:
    assert of("From: someone")[2] == [[b"someone", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN"]]
    assert of("From: <user>")[2] == [[None, None, b"user", b"MISSING_DOMAIN"]]
    assert of("From: Name <>")[2] == [[b"Name", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN"]]
    assert of("From: <>")[2] is None
    assert of("From: root (Cron Daemon)")[2] == [[b"Cron Daemon", None, b"root", b"MISSING_DOMAIN"]]
    assert of("From: Ann Lee (x)")[2] == [[b"Ann Lee", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN"]]
    assert of('From: "Ann" (x)')[2] == [[b"Ann", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN"]]


def test_a_group_ends_where_a_bracket_is_missing() -> None:
    group, end = [None, None, b"undisclosed-recipients", None], [None] * 4
    assert of("To: undisclosed-recipients:<;>")[5] == [group, end]
    assert of("To: undisclosed-recipients: Ann <a@b;, c@d")[5] == [
        group, [b"Ann", None, b"a", b"b"], end, [None, None, b"c", b"d"],
    ]  # fmt: skip


def test_quoting() -> None:
    value = of('Subject: a "b" \\c\nFrom: "x \\"y\\"" <"l \\\\ m"@d>')
    assert value[1] == b'a "b" \\c'
    assert value[2] == [[b'x "y"', None, b"l \\ m", b"d"]]


def test_folded_and_empty_subjects() -> None:
    assert of("Subject: one\r\n two\r\n\tthree")[1] == b"one two three"
    assert of("Subject:")[1] == b""
    assert of("X: y")[1] is None


def test_encoded_words_stay_and_raw_octets_become_some() -> None:
    assert of("Subject: =?utf-8?Q?a=C3=A4?=")[1] == b"=?utf-8?Q?a=C3=A4?="
    raw = of("Subject: Größe und mehr")[1]
    assert raw.endswith(b" und mehr")
    assert decode_header(raw) == "Größe und mehr"
    gb = of("From: 王小明 <w@x>".encode("gb18030"))
    assert decode_header(gb[2][0][0]) == "王小明"
    assert of(b"Subject: a\0b\x07c\rd")[1] == b"a b c d"


def test_long_texts_are_cut() -> None:
    assert len(of("Subject: " + "x" * 100_000)[1]) == 16_384
    assert decode_header(of("Subject: " + "ä" * 100_000)[1]).count("ä") == 8192


def test_decoded_form() -> None:
    source = b'Subject: =?utf-8?Q?a=C3=A4?= "q"\nFrom: =?gb2312?B?zfXQocP3?= <w@x>\n\n'
    found = envelope_utf8(parse_message(source)).decode()
    assert '"aä \\"q\\""' in found
    assert '("王小明" NIL "w" "x")' in found
