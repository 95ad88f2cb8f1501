"""The tree of parts: RFC 2045, 2046, and what is sent in their name."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from message.invariants import check

from mailwright.message.parser import ParseLimits, parse_message
from mailwright.message.part import Part


def shape(part: Part) -> str:
    inner = ",".join(shape(child) for child in part.children)
    return f"{part.content_type}({inner})" if inner else part.content_type


def bodies(source: bytes) -> list[bytes]:
    root = check(source).root
    return [source[part.body_start : part.end] for part in root.walk() if not part.children]


def multipart(boundary: str, body: str, subtype: str = "mixed") -> bytes:
    return f"Content-Type: multipart/{subtype}; boundary={boundary}\n\n{body}".encode()


LINE_ENDS = ["\n", "\r\n"]


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_simple_message(end: str) -> None:
    source = f"Subject: hello{end}{end}two{end}lines{end}".encode()
    parsed = check(source)
    assert source[parsed.header_end :] == f"two{end}lines{end}".encode()
    assert (parsed.root.content_type, parsed.root.encoding, parsed.root.lines) == ("text/plain", "7bit", 2)
    assert parsed.size == len(source)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_the_line_end_before_a_delimiter_belongs_to_it(end: str) -> None:
    source = multipart("b", "preamble\n--b\n\none\n--b  \n\ntwo\n\n--b--\nepilogue\n").replace(
        b"\n", end.encode()
    )
    assert bodies(source) == [b"one", b"two" + end.encode()]
    assert check(source).root.end == len(source)


def test_mixed_line_ends() -> None:
    source = b"Content-Type: multipart/mixed;\r\n\tboundary=b\n\r\n--b\r\n\nlf\n--b\n\r\ncrlf\r\n--b--\n"
    assert bodies(source) == [b"lf", b"crlf"]


def test_lines_that_end_in_cr_cr_lf() -> None:
    source = multipart("b", "--b\n\none\n--b--\n").replace(b"\n", b"\r\r\n")
    assert shape(check(source).root) == "multipart/mixed(text/plain)"
    assert bodies(b"Subject: x\r\r\n\r\r\nbody\r\r\n") == [b"body\r\r\n"]


def test_no_octets_at_all() -> None:
    parsed = check(b"")
    assert (shape(parsed.root), parsed.subject, parsed.date, parsed.preview) == ("text/plain", "", None, "")


def test_only_a_body_and_only_a_header() -> None:
    assert bodies(b"\r\nbody") == [b"body"]
    assert bodies(b"Subject: x\r\n") == [b""]
    assert bodies(b"Subject: x") == [b""]


def test_missing_blank_line() -> None:
    parsed = check(b"Subject: x\r\nthe body begins\r\nat once\r\n\r\nand goes on\r\n")
    assert parsed.source[parsed.header_end :].startswith(b"the body begins")
    assert parsed.subject == "x"


def test_a_line_that_is_no_field_does_not_end_a_header_that_goes_on() -> None:
    parsed = check(
        b"From joe@example.org Mon Jan  1 00:00:00 2026\r\nSubject: a\r\njunk\r\nTo: b@c\r\n\r\nbody"
    )
    assert parsed.source[parsed.header_end :] == b"body"
    assert (parsed.subject, parsed.addresses("to")[0].local) == ("a", "b")
    assert [field.name for field in parsed.headers] == [b"subject", b"to"]


def test_text_without_any_header() -> None:
    assert bodies(b"just text\nand more\n\nend\n") == [b"just text\nand more\n\nend\n"]


def test_missing_close_delimiter() -> None:
    assert bodies(multipart("b", "--b\n\none\n--b\n\ntwo\n")) == [b"one", b"two\n"]


def test_cut_off_behind_a_delimiter() -> None:
    assert shape(check(multipart("b", "--b\n\none\n--b\n")).root) == "multipart/mixed(text/plain)"


def test_part_without_blank_line_or_without_anything() -> None:
    source = multipart("b", "--b\nContent-Type: text/html\n--b\n--b\n\n--b--\n")
    assert shape(check(source).root) == "multipart/mixed(text/html,text/plain,text/plain)"
    assert bodies(source) == [b"", b"", b""]


def test_a_boundary_that_begins_another() -> None:
    inner = "--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\n\ninner\n--ab--\n--a\n\nouter\n--a--\n"
    assert bodies(multipart("a", inner)) == [b"inner", b"outer"]
    assert (
        shape(check(multipart("a", inner)).root) == "multipart/mixed(multipart/mixed(text/plain),text/plain)"
    )
    reversed_roles = (
        "--ab\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\ninner\n--ab\n\nouter\n--ab--\n"
    )
    assert bodies(multipart("ab", reversed_roles)) == [b"inner", b"outer"]


def test_an_outer_delimiter_ends_all_inner_parts() -> None:
    source = multipart(
        "o", "--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--o\n\ntwo\n--i\n\nno\n--o--\n"
    )
    assert bodies(source) == [b"one", b"two\n--i\n\nno"]


def test_an_inner_epilogue_and_the_same_boundary_twice() -> None:
    source = multipart(
        "b",
        "--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nin\n--b--\nepilogue\n--b\n\nout\n--b--\n",
    )
    assert bodies(source) == [b"in", b"out"]


def test_what_only_looks_like_a_delimiter() -> None:
    source = multipart("b", "--b\n\n-- \n--bb\n --b\n--b-\n--b x\n--b--x\ntext--b\n--b--\n")
    assert bodies(source) == [b"-- \n--bb\n --b\n--b-\n--b x\n--b--x\ntext--b"]


def test_empty_multipart() -> None:
    assert shape(check(multipart("b", "nothing\n")).root) == "multipart/mixed"
    assert shape(check(multipart("b", "--b--\n")).root) == "multipart/mixed"


def test_multipart_without_boundary_is_text() -> None:
    source = b"Content-Type: multipart/alternative\n\n--x\n\nhello\n"
    assert shape(check(source).root) == "text/plain"
    assert check(b'Content-Type: multipart/mixed; boundary=""\n\nx').root.content_type == "text/plain"


def test_multipart_whose_parameter_lost_its_semicolon() -> None:
    source = b'Content-Type: multipart/mixed\n\tboundary="b"\n\n--b\n\nx\n--b--\n'
    assert shape(check(source).root) == "multipart/mixed(text/plain)"


def test_multipart_whose_first_delimiter_stands_in_its_header() -> None:
    source = b"Content-Type: multipart/mixed; boundary=b\nX-A: b\n--b\nContent-Type: text/html\n\nx\n--b--\n"
    assert shape(check(source).root) == "multipart/mixed(text/html)"


def test_digest_makes_messages_of_its_parts() -> None:
    source = multipart("b", "--b\n\nSubject: one\n\nx\n--b\nContent-Type: text/plain\n\ny\n--b--\n", "digest")
    assert shape(check(source).root) == "multipart/digest(message/rfc822(text/plain),text/plain)"


@pytest.mark.parametrize("kind", ["message/rfc822", "message/global", "MESSAGE/RFC822"])
def test_messages_within_messages(kind: str) -> None:
    source = f"Content-Type: {kind}\n\nContent-Type: {kind}\nSubject: a\n\nSubject: b\n\ntext\n".encode()
    root = check(source).root
    assert shape(root) == f"{kind.lower()}({kind.lower()}(text/plain))"
    assert b'"b"' in root.children[0].envelope
    assert (root.lines, root.children[0].lines, root.children[0].children[0].lines) == (6, 3, 1)


def test_an_encoded_message_is_opaque() -> None:
    root = check(
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKeQo=\n"
    ).root
    assert (root.content_type, root.children) == ("message/rfc822", [])


@pytest.mark.parametrize(
    "broken",
    ["", "text", ";", "/", "text/", "/plain", "text plain", "=?utf-8?q?text/html?=", "\x00/\x00", "(c)"],
)
def test_broken_content_type_means_plain_text(broken: str) -> None:
    assert check(f"Content-Type: {broken}\n\nx".encode()).root.content_type == "text/plain"


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        ("BASE64", "base64"), ("base64 (comment)", "base64"), ("8-bit", "8bit"), ("base64;", "base64"),
        ('"7bit"', "7bit"), ("8 bit", "8bit"), ("", "7bit"), ("x-funny", "x-funny"),
        ("quoted printable", "quoted-printable"), ("uuencode", "x-uuencode"), ("\xe4", "x-unknown"),
    ],
)  # fmt: skip
def test_transfer_encodings(raw: str, encoding: str) -> None:
    assert check(f"Content-Transfer-Encoding: {raw}\n\nx".encode()).root.encoding == encoding


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("report (1).pdf", "report (1).pdf"),
        ("copy (2) (final) of it.txt", "copy (2) (final) of it.txt"),
        ("\u62a5\u544a(1).pdf; size=4", "\u62a5\u544a(1).pdf"),
        ("pic.png (a comment)", "pic.png"),
        ("pic.png (one) (two); size=4", "pic.png"),
        ("(a comment) pic.png", "pic.png"),
        ('"a (1).pdf" (a comment)', "a (1).pdf"),
    ],
)
def test_parentheses_in_a_name_without_quotes_are_no_comment(value: str, name: str) -> None:
    assert check(f"Content-Disposition: attachment; filename={value}\n\nx".encode()).root.filename == name


def test_all_that_a_part_says_of_itself() -> None:
    root = check(
        b'Content-Type: image/PNG (a; comment); Name="a \\"b\\".png"\r\n'
        b"Content-ID: <x@y>\r\nContent-Description: a\r\n picture\r\nContent-Language: de, en\r\n"
        b"Content-Location: http://example.org/\r\nContent-MD5: Q2hlY2s=\r\n"
        b"Content-Disposition: Attachment; filename=pic.png; size=4\r\n\r\nxxxx"
    ).root
    assert (root.content_type, root.params) == ("image/png", {"name": 'a "b".png'})
    assert (root.content_id, root.description, root.md5) == ("<x@y>", "a picture", "Q2hlY2s=")
    assert (root.language, root.location) == (("de", "en"), "http://example.org/")
    assert (root.disposition, root.disposition_params) == ("attachment", {"filename": "pic.png", "size": "4"})
    assert (root.filename, root.size) == ("pic.png", 4)


def test_the_first_of_two_fields_counts_but_addresses_are_joined() -> None:
    parsed = check(
        b"Subject: a\nSubject: b\nTo: a@x\nTo: b@x\nContent-Type: text/html\nContent-Type: text/plain\n\n"
    )
    assert parsed.subject == "a"
    assert [address.local for address in parsed.addresses("to")] == ["a", "b"]
    assert parsed.root.content_type == "text/html"


def test_mapped_files_give_the_same(tmp_path: Path) -> None:
    source = multipart("b", "--b\n\none\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\ntwo\n--b--\n") * 3
    path = tmp_path / "message"
    path.write_bytes(source)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        parsed = parse_message(mapped)
        assert repr(parsed.root) == repr(parse_message(source).root)
        assert [part.lines for part in parsed.root.walk()] == [
            part.lines for part in parse_message(source).root.walk()
        ]
        assert parsed.preview == "one"


def test_over_the_limits_is_opaque() -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(9))
    root = check(nested, ParseLimits(depth=3)).root
    assert shape(root) == "multipart/mixed(multipart/mixed(multipart/mixed(application/octet-stream)))"
    root = check(multipart("b", "--b\n\nx\n" * 9), ParseLimits(parts=4)).root
    assert shape(root) == "multipart/mixed(text/plain,text/plain,text/plain)"
    parsed = check(b"Subject: seen\nX-Long: " + b"x" * 100 + b"\nTo: a@b\n\nbody", ParseLimits(header=60))
    assert (parsed.subject, parsed.addresses("to")) == ("seen", [])
    assert parsed.source[parsed.header_end :] == b"body"
