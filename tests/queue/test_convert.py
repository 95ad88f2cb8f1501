"""Messages for peers of seven bits."""

from __future__ import annotations

import email
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.queue.convert import Unconvertible, to_7bit

HEAD = b"From: a@us.example\r\nDKIM-Signature: v=1; a=rsa-sha256;\r\n b=abc\r\nMIME-Version: 1.0\r\n"


def test_text_becomes_quoted_printable_or_base64_and_reads_the_same() -> None:
    for text in ("Viele Grüße aus der Ferne\r\n", "你好，世界\r\n"):
        made = to_7bit(HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode())
        assert made.isascii()
        assert made.startswith(HEAD), "the header keeps its folding"
        parsed = email.message_from_bytes(made)
        payload = parsed.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert payload.decode().replace("\n", "\r\n").replace("\r\r", "\r") == text
        assert len(parsed.get_all("Content-Transfer-Encoding") or ()) == 1


def test_only_the_parts_that_need_it_change() -> None:
    content = (
        HEAD
        + b'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\npreamble\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nplain  \r\n.\r\nFrom here\r\n"
        b"--b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"<b>Gr\xfc\xdfe</b>\r\n"
        b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\x00\xff\r\n--b--\r\n"
    )
    made = to_7bit(content)
    assert made.isascii()
    assert b"\r\n\r\nplain  \r\n.\r\nFrom here\r\n--b\r\n" in made
    parsed: Any = email.message_from_bytes(made)
    _, second, third = parsed.get_payload()
    assert second.get_payload(decode=True).strip() == b"<b>Gr\xfc\xdfe</b>"
    assert third["Content-Transfer-Encoding"] == "base64"
    assert third.get_payload(decode=True) == b"\x89PNG\r\n\x00\xff"


def test_a_message_of_seven_bits_stays_as_it_is() -> None:
    content = HEAD + b"Subject: =?utf-8?q?x?=  y\r\n\tz\r\n\r\nplain\r\n"
    assert to_7bit(content) == content


def test_text_from_before_mime_says_how_it_is_encoded_now() -> None:
    made = to_7bit("Subject: Grüße\r\n\r\nViele Grüße aus der Ferne\r\n".encode())
    parsed = email.message_from_bytes(made)
    assert (parsed["MIME-Version"], parsed["Content-Transfer-Encoding"]) == ("1.0", "quoted-printable")
    assert to_7bit(b"Subject: x\r\n\r\nplain\r\n") == b"Subject: x\r\n\r\nplain\r\n"


def test_a_message_within_a_message() -> None:
    inner = b"Content-Type: text/plain; charset=utf-8\r\n\r\nViele Gr\xc3\xbc\xc3\x9fe von hier\r\n"
    made = to_7bit(HEAD + b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + inner)
    assert made.isascii()
    assert b"Gr=C3=BC" in made


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"]),
)
def test_hostile_content_is_converted_or_refused(content: bytes, head: bytes) -> None:
    try:
        made = to_7bit(head + content)
    except Unconvertible:
        return
    assert made.partition(b"\r\n\r\n")[2].isascii()


def test_a_thousand_nested_parts_are_no_problem() -> None:
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000)
    )
    with pytest.raises(Unconvertible):
        to_7bit(nested + b"\r\n\xff")
