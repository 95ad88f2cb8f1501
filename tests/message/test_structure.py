"""BODYSTRUCTURE, BODY, part numbers and records."""

from __future__ import annotations

import pytest
from message.imap_reader import read
from message.invariants import check

from mailwright.message.parser import parse_message
from mailwright.message.structure import (
    RecordError,
    body,
    bodystructure,
    find_message,
    find_part,
    from_record,
    to_record,
)

# The example of RFC 9051 6.4.5.1.
RFC_EXAMPLE = b"""\
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: text/plain

1
--a
Content-Type: application/octet-stream

2
--a
Content-Type: message/rfc822

Subject: 3
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

3.1
--b
Content-Type: application/octet-stream

3.2
--b--
--a
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: image/gif

4.1
--c
Content-Type: message/rfc822

Subject: 4.2
Content-Type: multipart/mixed; boundary=d

--d
Content-Type: text/plain

4.2.1
--d
Content-Type: multipart/alternative; boundary=e

--e
Content-Type: text/plain

4.2.2.1
--e
Content-Type: text/richtext

4.2.2.2
--e--
--d--
--c--
--a--
"""


@pytest.mark.parametrize("number", ["1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"])
def test_part_numbers_of_the_rfc(number: str) -> None:
    root = check(RFC_EXAMPLE).root
    part = find_part(root, [int(digit) for digit in number.split(".")])
    assert part is not None
    assert RFC_EXAMPLE[part.body_start : part.end] == number.encode()


@pytest.mark.parametrize(
    "numbers", [(0,), (5,), (1, 1), (3, 3), (4, 2, 2, 3), (4, 2, 1, 1), (3, 1, 1), (-1,)]
)
def test_part_numbers_that_are_none(numbers: tuple[int, ...]) -> None:
    assert find_part(check(RFC_EXAMPLE).root, numbers) is None


def test_messages_that_header_and_text_mean() -> None:
    root = check(RFC_EXAMPLE).root
    assert find_message(root, ()) is root
    inner = find_message(root, (4, 2))
    assert inner is not None
    assert RFC_EXAMPLE[inner.header_start : inner.body_start].startswith(b"Subject: 4.2\n")
    assert find_message(root, (1,)) is None
    assert find_message(root, (9,)) is None


def test_part_one_of_what_is_no_multipart_is_itself() -> None:
    root = check(b"\nx").root
    assert find_part(root, ()) is root
    assert find_part(root, (1,)) is root
    assert find_part(root, (2,)) is None
    root = check(b"Content-Type: message/rfc822\n\nSubject: x\n\ny").root
    assert find_part(root, (1,)) is root
    assert find_part(root, (1, 1)) is root.children[0]
    assert find_message(root, (1,)) is root.children[0]


def test_bodystructure_of_text() -> None:
    root = check(b"Content-Type: text/plain; charset=UTF-8; format=flowed\n\na\nb\n").root
    expected = b'("text" "plain" ("charset" "UTF-8" "format" "flowed") NIL NIL "7bit" 4 2'
    assert bodystructure(root) == expected + b" NIL NIL NIL NIL)"
    assert body(root) == expected + b")"


def test_text_without_charset_is_us_ascii() -> None:
    assert b'("charset" "us-ascii")' in bodystructure(check(b"\nx").root)
    assert b'("format" "flowed" "charset" "us-ascii")' in bodystructure(
        check(b"Content-Type: text/plain; format=flowed\n\n").root
    )
    assert b"us-ascii" not in bodystructure(
        check(b"Content-Type: text/plain; charset*=utf-8''utf-8\n\n").root
    )


def test_bodystructure_of_a_multipart() -> None:
    header = b"Content-Type: multipart/mixed; boundary=b\nContent-Language: de\n\n"
    source = header + b"--b\n\nx\n--b\nContent-Type: image/gif\n\n--b--\n"
    text = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL)'
    image = b'("image" "gif" NIL NIL NIL "7bit" 0 NIL NIL NIL NIL)'
    root = check(source).root
    assert bodystructure(root) == b"(" + text + image + b' "mixed" ("boundary" "b") NIL "de" NIL)'
    assert body(root) == (b"(" + text + image + b' "mixed")').replace(b" NIL NIL NIL NIL)", b")").replace(
        b"NIL)", b"NIL)"
    )


def test_bodystructure_of_an_empty_multipart_has_a_body() -> None:
    value = read(bodystructure(check(b"Content-Type: multipart/mixed; boundary=b\n\n").root))
    assert value[0][:2] == [b"text", b"plain"]
    assert value[1] == b"mixed"


def test_bodystructure_of_messages() -> None:
    source = b"Content-Type: message/rfc822\n\nSubject: in\n\na\nb\n"
    value = read(bodystructure(check(source).root))
    assert value[7][1] == b"in"
    assert value[8][:2] == [b"text", b"plain"]
    assert value[9] == 4
    for opaque in (
        b"message/rfc822\nContent-Transfer-Encoding: base64",
        b"message/rfc822\nContent-Transfer-Encoding: quoted-printable",
    ):
        assert read(bodystructure(check(b"Content-Type: " + opaque + b"\n\nxxx").root))[:2] == [
            b"application",
            b"octet-stream",
        ]
    assert read(bodystructure(check(b"Content-Type: message/delivery-status\n\nx").root))[:2] == [
        b"message",
        b"delivery-status",
    ]


def test_dispositions_languages_and_raw_octets() -> None:
    source = (
        'Content-Type: application/pdf; name="\\"Größe\\".pdf"\n'
        "Content-Disposition: attachment; filename*0*=utf-8''Gr%C3%B6;\n"
        ' filename*1="sse.pdf"\nContent-Language: de, en\nContent-Description: Größe\n\nx'
    ).encode()
    root = check(source).root
    assert (root.filename, root.params["name"]) == ("Grösse.pdf", '"Größe".pdf')
    value = read(bodystructure(root))
    assert value[2] == [b"name*", b"utf-8''%22Gr%C3%B6%C3%9Fe%22.pdf"]
    assert value[4] == b"=?utf-8?B?R3LDtsOfZQ==?="
    assert value[8] == [b"attachment", [b"filename*", b"utf-8''Gr%C3%B6sse.pdf"]]
    assert value[9] == [b"de", b"en"]


@pytest.mark.parametrize(
    ("params", "joined"),
    [
        ("filename*1=b; filename*0=a; size=1", [b"size", b"1", b"filename", b"ab"]),
        (
            "filename*0*=gb2312''%CE%C4; filename*1*=%BC%FE.txt",
            [b"filename*", b"utf-8''%E6%96%87%E4%BB%B6.txt"],
        ),
        ("filename*=gb2312'zh'%CE%C4", [b"filename*", b"gb2312'zh'%CE%C4"]),
        ("filename*0=文; filename*1=件", [b"filename*", b"utf-8''%E6%96%87%E4%BB%B6"]),
        ("filename*x=a; *0=b", [b"filename*x", b"a", b"*0", b"b"]),
    ],
)
def test_continued_parameters_are_joined_for_clients(params: str, joined: list[bytes]) -> None:
    source = f"Content-Type: image/png\nContent-Disposition: inline; {params}\n\nx".encode()
    assert read(bodystructure(check(source).root))[8] == [b"inline", joined]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("attachment; filename=a.txt", "a.txt"),
        ("attachment; filename=a b.txt; size=1", "a b.txt"),
        ('attachment; filename="=?utf-8?B?5paH5Lu2LnR4dA==?="', "文件.txt"),
        ("attachment; filename==?iso-8859-1?Q?J=FCrgen.txt?=", "Jürgen.txt"),
        ("attachment; filename*=utf-8'de'%E6%96%87.txt", "文.txt"),
        ("attachment; filename*=gb2312''%CE%C4%BC%FE.txt; filename=x.txt", "文件.txt"),
        ("attachment; filename*0=a; filename*2=c; filename*1=b", "abc"),
        ("attachment; filename*1*=%E4; filename*0*=iso-8859-1''%FC", "üä"),
        ("attachment; filename*=%E6%96%87.txt", "文.txt"),
        (r'attachment; filename="..\\..\\etc/passwd"', "passwd"),
        ('attachment; filename="unclosed.txt', "unclosed.txt"),
        ("attachment; filename=文件.txt", "文件.txt"),
        ('; filename="image001.png"', "image001.png"),
        ("inline", ""),
    ],
)
def test_file_names_as_they_come(field: str, name: str) -> None:
    assert (
        check(f"Content-Type: application/x\nContent-Disposition: {field}\n\n".encode()).root.filename == name
    )


def test_file_name_in_raw_gb18030() -> None:
    source = b'Content-Disposition: attachment; filename="' + "会议纪要文件.doc".encode("gb18030") + b'"\n\nx'
    assert check(source).root.filename == "会议纪要文件.doc"


def test_records_are_small_and_bound_to_their_version() -> None:
    record = to_record(
        parse_message(b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n")
    )
    assert len(record) < 40
    for wrong in (
        b"",
        b"\x00",
        b"\xc1",
        record[:-1],
        record.replace(b"\x01", b"\x63", 1),
        b"\x91\x01",
        b"\x92\x01\x90",
        b"\x81\x01\x02",
    ):
        with pytest.raises(RecordError):
            from_record(wrong)
