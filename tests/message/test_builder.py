"""Messages of our own, read by the standard library."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message.invariants import check

from mailwright.message.address import Address, parse_addresses
from mailwright.message.builder import (
    address_header,
    attachment,
    build,
    content_disposition,
    encode_body,
    header,
    message_part,
    multipart,
    text_part,
)


def parse(source: bytes) -> EmailMessage:
    return email.message_from_bytes(source, policy=email.policy.default)


def test_a_report() -> None:
    report = multipart(
        "report",
        [
            text_part("Your message could not be delivered.\nSorry.\n"),
            b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n",
            message_part(b"Subject: lost\r\n\r\nbody\r\n"),
        ],
        "=_b",
        [("report-type", "delivery-status")],
    )
    source = build(
        [
            header("Date", "Tue, 3 Nov 2026 12:00:00 +0000"),
            header("Message-ID", "<1@example.org>"),
            address_header("From", [Address("Mail Delivery System", "postmaster", "example.org")]),
            header("Subject", "Undelivered: Grüße"),
        ],
        report,
    )
    assert b"\n" not in source.replace(b"\r\n", b"")
    parsed = check(source)
    assert [part.content_type for part in parsed.root.children] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    theirs = parse(source)
    assert theirs["subject"] == "Undelivered: Grüße"
    assert theirs.get_content_subtype() == "report"
    assert theirs.get_param("report-type") == "delivery-status"


@pytest.mark.parametrize(
    ("text", "eight_bit", "encoding"),
    [
        ("plain\n", False, "7bit"),
        ("Grüße aus dem schönen Köln am Rhein\n", False, "quoted-printable"),
        ("中文内容\n", False, "base64"),
        ("中文内容\n", True, "8bit"),
        ("x" * 2000, False, "quoted-printable"),
        ("", False, "7bit"),
        ("nul\0", True, "quoted-printable"),
        ("x" * 998, False, "7bit"),
    ],
)
def test_encodings_of_text(text: str, eight_bit: bool, encoding: str) -> None:
    source = build([], text_part(text, eight_bit=eight_bit))
    theirs = parse(source)
    assert theirs["content-transfer-encoding"] == encoding
    assert theirs.get_content().rstrip("\r\n") == text.rstrip("\n")
    assert all(len(line) <= 998 for line in source.split(b"\r\n"))


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back(text: str) -> None:
    source = build([header("Subject", text)], text_part(text))
    assert source.isascii()
    assert b"\n" not in source.replace(b"\r\n", b"")
    wanted = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    got = parse(source).get_payload(decode=True)
    assert isinstance(got, bytes)
    assert got.decode().replace("\r\n", "\n").rstrip("\n") == wanted.rstrip("\n")


def test_lines_that_a_relay_could_change() -> None:
    _, body = encode_body("From here\r\nä\r\n.\r\nFrom there\r\n".encode() + b"a " * 20)
    assert not any(line.startswith((b"From ", b".")) for line in body.split(b"\r\n"))


@pytest.mark.parametrize(
    "address",
    [
        Address("", "a", "x"),
        Address("A B", "a", "x"),
        Address('Q "uoted", Esq.', "a", "x"),
        Address("王小明", "w", "x"),
        Address("Ünïcödé with a name that is long enough to be folded over lines " * 3, "a", "x"),
        Address("a\\b", "a", "x"),
    ],
)
def test_addresses_come_back(address: Address) -> None:
    raw = address_header("To", [address, Address("", "b", "y")])
    assert raw.isascii()
    found = parse_addresses(raw.removeprefix(b"To:"))
    assert found == [address._replace(name=address.name.strip()), Address("", "b", "y")]


def test_an_address_beyond_ascii_stays_as_it_is() -> None:
    assert address_header("To", [Address("王", "用户", "例子.中国")]) == (
        "To: =?utf-8?B?546L?= <用户@例子.中国>\r\n".encode()
    )


def test_nothing_is_smuggled_into_a_header() -> None:
    raw = address_header("To", [Address("a\r\nBcc: b", "c\r\nX: y", "z>")])
    assert raw.count(b"\r\n") == 1
    assert content_disposition("attachment", 'a"\r\nX: y').count(b"\r\n") == 1


@pytest.mark.parametrize("name", ["a.txt", "two words.txt", 'quo"te.txt', "文件 名.txt"])
def test_file_names_come_back(name: str) -> None:
    source = build(
        [], multipart("mixed", [text_part("x"), attachment(b"\0\1" * 100, "application/pdf", name)], "b")
    )
    part = check(source).root.children[1]
    assert part.filename == name
    assert next(iter(parse(source).iter_attachments())).get_filename() == name


def test_a_boundary_that_a_part_holds_grows() -> None:
    source = build([], multipart("mixed", [text_part("--b\n"), text_part("--b=\n")], "b"))
    assert [part.type for part in check(source).root.children] == ["text", "text"]
