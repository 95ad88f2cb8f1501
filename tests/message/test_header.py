"""RFC 2047 as it is written and as it is sent; and our own side of it."""

from __future__ import annotations

import email.header
import email.policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.header import decode_header, encode_header, iterate_fields, unfold


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
        (b"=?utf-8?B?5Lit?==?utf-8?B?5paH?=", "中文"),
        (b"=?utf-8?B?5Lit5g==?= =?utf-8?B?lofl?= =?utf-8?Q?=AD=97?=", "中文字"),
        (b"x=?utf-8?q?=c3=a4?=y", "xäy"),
        (b'"=?utf-8?Q?=C3=A4?="', '"ä"'),
        (b"=?utf-8?Q?what??= now", "what? now"),
        (b"=?utf-8?Q?with space?=", "with space"),
        (b"=?utf-8?B?5Lit5paH", "=?utf-8?B?5Lit5paH"),
        (b"=?utf-8?B?5Lit5paHIQ?=", "中文!"),
        (b"=?utf-8?B?5Lit 5paH*?=", "中文"),
        (b"=?utf-8?B??= a", " a"),
        (b"=?x-unknown?Q?=C3=A4?=", "ä"),
        (b"=?utf-7?Q?+AOQ-?=", "+AOQ-"),
        (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        (b"=?utf-8?Q?a=0D=0AX:_b?=", "a X: b"),
        (b"a =?b c?= d", "a =?b c?= d"),
        (b"=?gb2312?B?zfXQocP3?=", "王小明"),
        (b"=?iso-2022-jp?B?GyRCRnxLXDhsGyhC?=", "日本語"),
        (b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
        (b"=?euc-kr?B?vsiz58fPvLy/5A==?=", "안녕하세요"),
        (b"=?big5?B?pKSk5Q==?=", "中文"),
        (b"=?hz-gb-2312?Q?~{VPND~}?=", "中文"),
        (b"=?windows-1256?B?5s3G7SDH?=", "وحئي ا"),
        (b"=?iso-8859-8-i?B?+ezl7Q==?=", "שלום"),
        (b"=?utf-8?B?8J+YgPCfkajigI3wn5Gp?=", "😀👨\u200d👩"),
    ],
)
def test_decoding(raw: bytes, text: str) -> None:
    assert decode_header(raw) == text


@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_raw_text(codec: str) -> None:
    assert decode_header("会议纪要和安排".encode(codec)) == "会议纪要和安排"


def test_unfolding() -> None:
    assert unfold(b" a\r\n\tb\n c \r\n") == b"a\tb c"


def test_fields_with_their_offsets() -> None:
    block = b"From x\r\nSubject : a\r\n b\r\nno field\r\nX-Empty:\r\n\r\n"
    first, second = iterate_fields(block, 100)
    assert (first.name, first.raw_name, first.start) == (b"subject", b"Subject", 108)
    assert block[first.value_start - 100 : first.value_end - 100] == b"a\r\n b"
    assert block[first.end - 100 :].startswith(b"no field")
    assert (second.name, second.value_start, second.value_end) == (
        b"x-empty",
        second.value_start,
        second.value_start,
    )


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_octets_decode(raw: bytes) -> None:
    text = decode_header(b"=?utf-8?B?" + raw + b"?= " + raw)
    text.encode("utf-8")
    assert "\n" not in text


def test_long_ascii_is_folded() -> None:
    raw = encode_header("Subject", "word " * 40)
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    assert unfold(raw.removeprefix(b"Subject:")) == ("word " * 40).strip().encode()


def test_line_ends_cannot_smuggle_a_field() -> None:
    assert encode_header("Subject", "a\r\nBcc: b\nc") == b"Subject: a Bcc: b c\r\n"


@given(st.text(max_size=150))
@settings(max_examples=200, deadline=None)
def test_what_is_encoded_decodes(text: str) -> None:
    raw = encode_header("Subject", text)
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    lines = raw[:-2].split(b"\r\n")
    assert all(line[:1] in b" \t" and line.strip() for line in lines[1:])
    assert all(len(line) <= 998 for line in lines)
    plain = "".join(" " if ord(c) < 32 or ord(c) == 127 else c for c in text)
    octets = plain.encode("utf-8", "replace")
    wanted = decode_header(octets) if text.isascii() and "=?" not in text else octets.decode()
    assert decode_header(raw.removeprefix(b"Subject:")).split() == wanted.split()


@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=80)
)
@settings(max_examples=100, deadline=None)
def test_the_standard_library_reads_the_same(text: str) -> None:
    raw = encode_header("Subject", text).decode().partition(":")[2].strip()
    theirs = str(email.header.make_header(email.header.decode_header(raw.replace("\r\n", ""))))
    assert theirs.split() == text.split()
