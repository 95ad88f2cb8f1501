"""Any octets parse; what the standard library builds has the structure it was given."""

from __future__ import annotations

import re
from email.message import Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message.invariants import check

from mailwright.message.content import decoded_part
from mailwright.message.parser import DEFAULT_LIMITS, ParseLimits, _Parser
from mailwright.message.part import Part

LINES = st.sampled_from(
    [
        "Content-Type: multipart/mixed; boundary=a",
        "Content-Type: multipart/digest; boundary=ab",
        "--a",
        "--ab",
        "--a--",
        "--ab--",
        "",
        "",
        "text",
        "Content-Type: message/rfc822",
        "Content-Type: text/html; charset=gb2312",
        " folded",
        "Content-Transfer-Encoding: base64",
        "Subject: =?utf-8?B?5Lit?=",
        "From: a@b (c",
        "To: g: x@y",
        "Date: 1 Jan 26 1:1",
        "Content-Disposition: attachment; filename*0=a",
        "\xff\xfe",
        'Content-Type: multipart/x; boundary="a"',
        "-- ",
        "References: <a@b> <c",
        "Content-Language: a, b",
        "Content-ID: <\x00>",
        "In-Reply-To:",
        "From a@b",
    ]
)


@given(st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r", ""])), max_size=40))
@settings(max_examples=120, deadline=None)
def test_any_lines(lines: list[tuple[str, str]]) -> None:
    check("".join(line + end for line, end in lines).encode("latin-1"))


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_octets(source: bytes) -> None:
    check(source)
    check(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + source + b"\n--b\n" + source)


FIELDS = (
    *(b"Content-" + name for name in (b"Type", b"Disposition", b"Transfer-Encoding", b"Language")),
    *(b"Content-" + name for name in (b"ID", b"Description", b"Location", b"MD5")),
    *(b"From", b"To", b"Subject", b"Date", b"Message-ID", b"In-Reply-To", b"References"),
)


@pytest.mark.parametrize("field", FIELDS)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=20).map(lambda text: text.encode("gb18030"))))
@settings(max_examples=40, deadline=None)
def test_any_octets_in_a_field(field: bytes, value: bytes) -> None:
    check(field + b": " + value + b"\n\nx\n")
    check(field + b": \xb8\xbd\xbc\xfe; x=" + value + b"\n\nx\n")


@given(
    st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n"])), max_size=30),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 90),
)
@settings(max_examples=100, deadline=None)
def test_any_limits(lines: list[tuple[str, str]], depth: int, parts: int, header: int) -> None:
    source = "".join(line + end for line, end in lines).encode("latin-1")
    parsed = check(source, ParseLimits(depth=depth, parts=parts, header=header, headers=header * 2, strays=3))
    assert len(list(parsed.root.walk())) <= parts


TEXTS = st.text(alphabet="ab -\nä中=", max_size=30)
LEAVES = st.one_of(
    st.builds(MIMEText, TEXTS, st.sampled_from(["plain", "html"]), st.just("utf-8")),
    st.builds(lambda: MIMENonMultipart("image", "png")),
)


def _multipart(subtype: str, children: list[Message]) -> Message:
    return MIMEMultipart(subtype, None, children)


def _nested(child: Message) -> Message:
    return MIMEMessage(child)


TREES: st.SearchStrategy[Message] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            _multipart,
            st.sampled_from(["mixed", "alternative", "related"]),
            st.lists(inner, min_size=1, max_size=4),
        ),
        st.builds(_nested, inner),
    ),
    max_leaves=12,
)


def same(ours: Part, theirs: Message) -> None:
    assert ours.content_type == theirs.get_content_type()
    payload = theirs.get_payload()
    if isinstance(payload, list):
        assert len(ours.children) == len(payload)
        for child, their_child in zip(ours.children, payload, strict=True):
            assert isinstance(their_child, Message)
            same(child, their_child)
    else:
        assert ours.children == []


@given(TREES, st.booleans())
@settings(max_examples=80, deadline=None)
def test_generated_trees(tree: Message, crlf: bool) -> None:
    source = tree.as_bytes()
    if crlf:
        source = source.replace(b"\n", b"\r\n")
    parsed = check(source)
    same(parsed.root, tree)
    for part, theirs in zip(parsed.root.walk(), tree.walk(), strict=True):
        if part.type == "text":
            wanted = theirs.get_payload(decode=True)
            assert isinstance(wanted, bytes)
            assert decoded_part(part, source) == wanted


@given(
    st.lists(st.sampled_from([b"a: b", b"\r", b"\n", b"\r\n"])), st.integers(0, 8), st.sampled_from([0, 8186])
)
def test_a_body_begins_behind_the_first_empty_line(pieces: list[bytes], at: int, far: int) -> None:
    source = b"".join(pieces)
    source = source[:at] + b"x" * far + source[at:]  # an end that is far away is found too
    if at > len(source):
        return
    found = re.compile(rb"\r*\n").match(source, at) or re.compile(rb"\n\r*\n").search(source, at)
    assert _Parser(source, DEFAULT_LIMITS).header_end(at) == (found.end() if found else len(source))
