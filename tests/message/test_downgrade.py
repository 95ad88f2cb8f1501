"""Headers for clients that know no UTF-8 (RFC 6858)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.address import parse_addresses
from mailwright.message.downgrade import downgrade_header
from mailwright.message.header import decode_header, iterate_fields
from mailwright.message.mime import decode_params, parse_content_type, parse_disposition

INVALID = "invalid@internationalized-address.invalid"


def field(block: bytes, name: bytes) -> bytes | None:
    """The value of a field after the downgrade."""
    done = downgrade_header(block)
    assert done.isascii()
    values = [done[one.value_start : one.value_end] for one in iterate_fields(done) if one.name == name]
    return values[0] if values else None


def value(text: str, name: str) -> bytes | None:
    return field(f"{name}: {text}\r\n\r\n".encode(), name.lower().encode())


def test_what_is_ascii_stays_octet_for_octet() -> None:
    block = b"Received: by x\r\n\tfor y\r\nsubject:  odd   spaces \r\nno field\r\nTO: a@b\r\n\r\n"
    assert downgrade_header(block) == block
    mixed = block[:-2] + "X-Note: ä\r\n\r\n".encode()
    assert downgrade_header(mixed).startswith(block[:-2])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("José <jose@example.org>", [("José", "jose@example.org")]),
        ("José <josé@exämple.org>", [("José <josé@exämple.org>", INVALID)]),
        ("用户@例子.广告", [("用户@例子.广告", INVALID)]),
        (
            'a@example.org, "Zoë, the other" <zoe@example.org>, b@müller.example',
            [("", "a@example.org"), ("Zoë, the other", "zoe@example.org"), ("b@müller.example", INVALID)],
        ),
        ("Freunde und Bekannte ü: x@example.org;", [("", "x@example.org")]),
        ("Zoë, Ann <a@example.org>", [("Zoë", ""), ("Ann", "a@example.org")]),
        (
            '"a b"@example.org, ü <"c\\"d"@example.org>, "e@f"@example.org',
            [("", "a b@example.org"), ("ü", 'c"d@example.org'), ("", "e@f@example.org")],
        ),
    ],
)
def test_addresses(text: str, names: list[tuple[str, str]]) -> None:
    for name in ("From", "To", "Cc", "Reply-To", "Resent-To"):
        raw = value(text, name)
        assert raw is not None
        assert [(one.name, one.addr_spec) for one in parse_addresses(raw)] == names


@pytest.mark.parametrize("name", ["Subject", "Comments", "X-Anything"])
def test_texts_are_encoded(name: str) -> None:
    raw = value("Grüße 日本語 " * 20, name)
    assert raw is not None
    assert decode_header(raw) == ("Grüße 日本語 " * 20).strip()
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))


def test_a_text_in_another_charset_is_guessed() -> None:
    raw = field("Subject: 你好，这是一封测试邮件\r\n\r\n".encode("gb18030"), b"subject")
    assert raw is not None
    assert decode_header(raw) == "你好，这是一封测试邮件"


def test_parameters_are_extended() -> None:
    raw = value('text/plain; charset=utf-8; name="Übersicht.txt"', "Content-Type")
    assert raw is not None
    kind, subtype, params = parse_content_type(raw)
    assert (kind, subtype) == ("text", "plain")
    assert decode_params(params) == {"charset": "utf-8", "name": "Übersicht.txt"}
    raw = value('attachment; filename="报告.pdf"', "Content-Disposition")
    assert raw is not None
    disposition, params = parse_disposition(raw)
    assert (disposition, decode_params(params)) == ("attachment", {"filename": "报告.pdf"})


@pytest.mark.parametrize("name", ["Message-ID", "Received", "References", "DKIM-Signature", "Return-Path"])
def test_other_fields_are_left_out(name: str) -> None:
    assert value("<ä@example.org>", name) is None


PIECES = st.sampled_from(
    [b"From: ", b"Subject:", b"\r\n", b"\xc3\xa4", b"<", b",", b";", b"Content-Type: a/b;c="]
)


@settings(deadline=None)  # the first guess of a charset loads its tables
@given(st.lists(st.binary(max_size=60) | PIECES, max_size=30).map(b"".join))
def test_always_ascii_and_a_header_still(block: bytes) -> None:
    done = downgrade_header(block)
    assert done.isascii()
    assert downgrade_header(done) == done
