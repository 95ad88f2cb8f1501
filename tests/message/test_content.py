"""What parts hold, previews, attachments, and what search sees."""

from __future__ import annotations

import base64
import binascii

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message.invariants import check

from mailwright.message.content import UnknownEncoding, decode_octets, html_to_text
from mailwright.message.fold import fold
from mailwright.message.parser import parse_message
from mailwright.message.search import search_text


@pytest.mark.parametrize(
    ("raw", "encoding", "octets"),
    [
        (b"a=\r\nb=20=C3=A4=\r\n", "quoted-printable", "ab ä".encode()),
        (b"100% =zz =\n", "quoted-printable", b"100% =zz "),
        (b"aGVsbG8=", "base64", b"hello"),
        (b"aGVs\r\nbG8=\r\n\r\n", "base64", b"hello"),
        (b"aGVs!bG8", "base64", b"hello"),
        (b"aGVsbG8=d29ybGQ=", "base64", b"helloworld"),
        (b"aGVsbG8=\n-- \nfooter", "base64", b"hello"),
        (b"aGVsb", "base64", b"hel"),
        (b"=", "base64", b""),
        (b"begin 644 x\n#0V%T\n`\nend\n", "x-uuencode", b"Cat"),
        (b"x\x00\xff", "binary", b"x\x00\xff"),
    ],
)
def test_transfer_encodings(raw: bytes, encoding: str, octets: bytes) -> None:
    assert decode_octets(raw, encoding).startswith(octets)


def test_white_space_at_the_end_of_a_quoted_line_goes() -> None:
    assert decode_octets(b"soft=  \r\nbreak \t\r\nend ", "quoted-printable") == b"softbreak\r\nend"
    assert decode_octets(b" " * 500_000 + b"x", "quoted-printable") == b" " * 500_000 + b"x"  # in linear time


def test_unknown_transfer_encoding() -> None:
    with pytest.raises(UnknownEncoding, match="x-secret"):
        decode_octets(b"x", "x-secret")


@given(st.binary(max_size=500))
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_decodes(octets: bytes) -> None:
    assert decode_octets(base64.encodebytes(octets), "base64") == octets
    assert decode_octets(binascii.b2a_qp(octets, istext=False), "quoted-printable") == octets
    lines = [binascii.b2a_uu(octets[at : at + 45]) for at in range(0, len(octets), 45)]
    assert decode_octets(b"begin 644 x\n" + b"".join(lines) + b"`\nend\n", "x-uuencode") == octets


@given(st.binary(max_size=200), st.sampled_from(["base64", "quoted-printable", "x-uuencode"]))
@settings(max_examples=200, deadline=None)
def test_any_octets_decode(raw: bytes, encoding: str) -> None:
    assert len(decode_octets(raw, encoding)) <= len(raw) + 3


HTML = "Content-Type: text/html; charset=utf-8"
BOTH = "Content-Type: multipart/alternative; boundary=b"
FLOWED = "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes"


def message(text: str, header: str = "Content-Type: text/plain; charset=utf-8") -> bytes:
    return f"{header}\n\n{text}".encode()


@pytest.mark.parametrize(
    ("source", "preview"),
    [
        (message("Hello,\n\n  world\t!\n"), "Hello, world !"),
        (message("> quoted\n>> more\n\nMy answer.\n"), "My answer."),
        (message("Yes.\n\nOn Monday Bob <b@x> wrote:\n> will you?\n"), "Yes."),
        (message("好的。\n\n王小明 写道：\n> 你来吗？\n"), "好的。"),
        (message("> only\n> quotes\n"), "> only > quotes"),
        (message("\u200b\u200b \u200c \u034f \u200c Sale"), "Sale"),
        (message("", "Subject: x"), ""),
        (message("<p>One</p><p>Two<br>Three &amp; <b>f</b>our</p><script>x()</script>", HTML), "One Two Three & four"),
        (message("<title>No</title><style>p{}</style><body>中文</body>", HTML), "中文"),
        (message('<meta charset="gb2312"><p>', "Content-Type: text/html") + "会议通知".encode("gb18030"), "会议通知"),
        (message('<meta content="text/html; charset=unicode"><p>你好', "Content-Type: text/html"), "你好"),
        (message('<meta charset="UTF-16LE"><p>你好', "Content-Type: text/html"), "你好"),
        (message("--b\nContent-Type: text/html\n\n<p>H</p>\n--b\nContent-Type: text/plain\n\nP\n--b--", BOTH), "P"),
        (message("--b\nContent-Type: text/plain\n\n \n--b\nContent-Type: text/html\n\n<p>H</p>\n--b--", BOTH), "H"),
        (message("--b\nContent-Disposition: attachment\n\nno\n--b\n\nyes\n--b--", BOTH), "yes"),
        (message("Subject: in\n\nx", "Content-Type: message/rfc822"), ""),
        (message("<DIV>One</DIV>two<ul><li>a</li></ul><dl><dt>b</dt><dd>c</dd></dl>", HTML), "One two a b c"),
        (message("<table><tr><td>会</td><td>议</td></tr></table>室<b>厅</b>", HTML), "会 议 室厅"),
        (message("我们明 \n天开会。\n再见\n", FLOWED), "我们明天开会。 再见"),
        (message("没 \n> 引用 \n答 \n案\n-- \n签名 \n 档", FLOWED), "没 答案 -- 签名档"),
        (message("a \n-- \nb", FLOWED), "a -- b"),
    ],
)  # fmt: skip
def test_previews(source: bytes, preview: str) -> None:
    assert check(source).preview == preview


def test_previews_are_cut_between_graphemes() -> None:
    family = "👨\u200d👩\u200d👧"
    preview = check(message("x" * 198 + family)).preview
    assert preview == "x" * 198
    assert check(message("中" * 300)).preview == "中" * 200
    assert check(message("x" * 199 + "e\u0301")).preview == "x" * 199
    assert check(message("x" + "🇨🇳" * 150)).preview == "x" + "🇨🇳" * 99
    assert check(message("🇨🇳" * 150)).preview == "🇨🇳" * 100
    assert check(message("\u1112\u1161\u11ab" * 100)).preview == "\u1112\u1161\u11ab" * 66


def mixed(part: str, subtype: str = "mixed") -> bytes:
    return message(
        f"--b\n\ntext\n--b\n{part}\n\nx\n--b--\n", f"Content-Type: multipart/{subtype}; boundary=b"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (message("x"), False),
        (mixed("Content-Type: application/pdf"), True),
        (mixed("Content-Type: image/png\nContent-Disposition: inline"), True),
        (mixed("Content-Type: image/png\nContent-ID: <a>", "related"), False),
        (mixed("Content-Type: text/html", "alternative"), False),
        (mixed("Content-Type: text/plain\nContent-Disposition: attachment"), True),
        (mixed("Content-Type: text/plain; name=a.txt"), True),
        (mixed("Content-Type: text/plain"), False),
        (mixed("Content-Type: application/pgp-signature; name=signature.asc", "signed"), False),
        (
            mixed(
                "Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Disposition: attachment",
                "signed",
            ),
            False,
        ),
        (mixed("Content-Type: message/rfc822"), True),
        (message("x", "Content-Type: application/pdf"), True),
    ],
)
def test_attachments(source: bytes, expected: bool) -> None:
    assert check(source).has_attachment is expected


def test_search_text() -> None:
    source = (
        "From: =?gb2312?B?zfXQocP3?= <w@x>\nTo: a@b\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n"
        "X-Odd: =?koi8-r?B?8NLJ18XU?=\n"
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html; charset=utf-8\n"
        "Content-Transfer-Encoding: base64\n\n"
        + base64.encodebytes("<p>会议<b>通知</b></p>".encode()).decode()
        + "\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nnested text\n--b--\n"
    ).encode()
    found = search_text(parse_message(source), source, 100_000)
    assert found.sender == "王小明 <w@x>"
    assert (found.to, found.cc, found.subject) == ("a@b", "", "Grüße")
    assert dict(found.headers)["x-odd"] == "Привет"
    for word in ("会议通知", "inner", "nested text"):
        assert word in found.body
    assert fold("GRÜSSE") in fold(found.subject)
    assert "nested" not in search_text(parse_message(source), source, 50).body


def test_search_text_holds_each_field_of_a_header_however_long_it_is() -> None:
    to = ", ".join(f"user{n}@example.org" for n in range(8000))
    source = f"To: {to}\nSubject: behind it\nFrom: a@b (Ann)\n\nx".encode()
    headers = dict(search_text(parse_message(source), source, 1000).headers)
    assert len(source) > 100_000
    assert (headers["subject"], headers["to"]) == ("behind it", to)


def test_search_text_of_messages_within_is_a_line_for_each_field() -> None:
    parts = "--b\nContent-Type: message/rfc822\n\nSubject: one\n two\nTo: x@y\n\n\n--b\nContent-ID: <i>\nX-A: b\n\n"
    source = message(parts, "Content-Type: multipart/mixed; boundary=b")
    found = search_text(parse_message(source), source, 1000)
    assert "Subject: one two\nTo: x@y" in found.body
    assert ("", "Content-ID: <i>\nX-A: b") in found.headers


@pytest.mark.parametrize(
    "kind", ["delivery-status", "disposition-notification", "feedback-report", "partial"]
)
def test_search_text_holds_all_messages_and_reports(kind: str) -> None:
    part = "Content-Transfer-Encoding: quoted-printable\n\nFinal-Recipient: rfc822; a=\nnn@example.org\n"
    source = mixed(f"Content-Type: message/{kind}\n{part}")
    assert "rfc822; ann@example.org" in search_text(parse_message(source), source, 1000).body
    source = mixed(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW4KCmJvZHkK"
    )
    assert "Subject: in\n\nbody" in search_text(parse_message(source), source, 1000).body


@given(st.text(alphabet="<>/divpbra!-&#;\"' =x", max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_html(html: str) -> None:
    assert len(html_to_text(html)) <= len(html) * 2 + 2


def test_deeply_nested_html_keeps_its_text() -> None:
    assert html_to_text("<div>" * 3000 + "deep &amp; down").strip() == "deep & down"
