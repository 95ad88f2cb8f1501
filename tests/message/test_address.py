"""Address fields as RFC 5322 allows them and as they come; the mailboxes of SMTP."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.address import Address, InvalidMailbox, parse_addresses, parse_mailbox, parse_raw


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a@x", [("", "a", "x")]),
        ("A <a@x>", [("A", "a", "x")]),
        ('"A, B" <a@x>, C <c@y>', [("A, B", "a", "x"), ("C", "c", "y")]),
        ("a@x (A (nested) B)", [("A (nested) B", "a", "x")]),
        ("(c) A (d) <a@x> (e)", [("A", "a", "x")]),
        ('"a b"@x', [("", "a b", "x")]),
        (r'"a\"b"@x', [("", 'a"b', "x")]),
        ("Joe Q. Public <j@x>", [("Joe Q. Public", "j", "x")]),
        ("<@r1,@r2:a@x>", [("", "a", "x")]),
        ("A Group:Ed <e@a>,joe@where,John <j@one>;", [("Ed", "e", "a"), ("", "joe", "where"), ("John", "j", "one")]),
        ("Undisclosed recipients:;", []),
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [("Pete", "pete", "silly.test")]),
        ("a . b @ x . y", [("", "a.b", "x.y")]),
        ("Joe Q. a@x", [("Joe Q.", "a", "x")]),
        ("Mary <@node.test:m@x>, , jdoe@test  . example", [("Mary", "m", "x"), ("", "jdoe", "test.example")]),
        (",, ,a@x,,", [("", "a", "x")]),
        ("a@x; b@y", [("", "a", "x"), ("", "b", "y")]),
        ("A a@x", [("A", "a", "x")]),
        ("a@x <a@x>", [("a@x", "a", "x")]),
        ("'A' <a@x>", [("'A'", "a", "x")]),
        ("A <a@x", [("A", "a", "x")]),
        ("A <a@x, B <b@y>", [("A", "a", "x"), ("B", "b", "y")]),
        ("<<a@x>>", [("", "a", "x")]),
        ("A <a@x> B, C <c@y>", [("A", "a", "x"), ("C", "c", "y")]),
        ('"unclosed <a@x>', [("unclosed <a@x>", "", "")]),
        ("a@b@c", [("", "a@b", "c")]),
        ("user", [("user", "", "")]),
        ("A <user>", [("A", "user", "")]),
        ("[List] Name <a@x>", [("[List] Name", "a", "x")]),
        ("a@[192.0.2.1]", [("", "a", "[192.0.2.1]")]),
        ("A <a@[IPv6:2001:db8::1]>", [("A", "a", "[IPv6:2001:db8::1]")]),
        ("=?utf-8?B?546L5bCP5piO?= <w@x>", [("王小明", "w", "x")]),
        ('"=?utf-8?Q?M=C3=BCller=2C_J?=" <m@x>', [("Müller, J", "m", "x")]),
        ("=?utf-8?Q?M=C3=BCller,_J?= <m@x>", [("Müller, J", "m", "x")]),
        ("王小明 <用户@例子.中国>", [("王小明", "用户", "例子.中国")]),
        ("Ann\r\n <a@x>,\r\n\tB <b@y>", [("Ann", "a", "x"), ("B", "b", "y")]),
        ("", []),
        ("<>", []),
        ('""', []),
        (":", []),
        (";", []),
        (")", []),
    ],
)  # fmt: skip
def test_fields(raw: str, expected: list[tuple[str, str, str]]) -> None:
    found = parse_addresses(raw.encode())
    assert found == [Address(*item) for item in expected]


def test_names_in_raw_gb18030() -> None:
    assert parse_addresses("王小明经理 <w@x>".encode("gb18030"))[0].name == "王小明经理"


def test_groups_are_marked() -> None:
    assert parse_raw(b"G: a@x; b@y, H:c@z") == [
        (b"", b"", b"G", None), (b"", b"", b"a", b"x"), (b"", b"", None, None), (b"", b"", b"b", b"y"),
        (b"", b"", b"H", None), (b"", b"", b"c", b"z"), (b"", b"", None, None),
    ]  # fmt: skip


def test_addr_spec() -> None:
    assert Address("n", "a", "x").addr_spec == "a@x"
    assert Address("n", "a", "").addr_spec == "a"


@given(st.binary(max_size=200) | st.text(alphabet='a@b.,;:<>()[]"\\ \t=?', max_size=80).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_octets(raw: bytes) -> None:
    for address in parse_addresses(raw):
        "".join(address).encode("utf-8")
    depth = 0
    for _, _, local, domain in parse_raw(raw):
        if domain is None:
            depth += 1 if local is not None else -1
            assert depth in (0, 1)
    assert depth == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@x", ("a", "x")), ("a.b+c@x.example", ("a.b+c", "x.example")), ('"a b"@x', ('"a b"', "x")),
        (r'"a\"@b"@x', (r'"a\"@b"', "x")), ("a@[192.0.2.1]", ("a", "[192.0.2.1]")), ('""@x', ('""', "x")),
        ("a@[IPv6:2001:db8::1]", ("a", "[IPv6:2001:db8::1]")), ("a@[IPv6:::1]", ("a", "[IPv6:::1]")),
        ("a@[IPv6:::ffff:192.0.2.1]", ("a", "[IPv6:::ffff:192.0.2.1]")), ("a" * 64 + "@x", ("a" * 64, "x")),
        ("a@xn--fsq.example", ("a", "xn--fsq.example")), ("!#$%&'*/=?^_`{|}~-@x", ("!#$%&'*/=?^_`{|}~-", "x")),
        ("a@[x-tag:data]", ("a", "[x-tag:data]")),
    ],
)  # fmt: skip
def test_mailboxes(text: str, expected: tuple[str, str]) -> None:
    assert parse_mailbox(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "@x", "a@", "a b@x", ".a@x", "a.@x", "a..b@x", "a@x.", "a@.x", "a@x..y", "a@-x", "a@x-", "a@x_y",
        "<a@x>", "a@x\n", "a\0@x", '"a\nb"@x', '"a@x', 'a"b@x', "a" * 65 + "@x", "a@" + "x." * 127 + "xx",
        "a@" + "x" * 64 + ".y",
        "a@[300.0.2.1]", "a@[192.0.2]", "a@[IPv6:1::2::3]", "a@[IPv6:1:2]", "a@[IPv6:12345::]", "a@[]", "a@[x", "ä@x",
        "a@ä.example", "a@b@c", "a@[IPv6:::192.0.2.1:1]", "a@[IPv6:1:2:3:4:5:6:7:8:9]",
    ],
)  # fmt: skip
def test_texts_that_are_no_mailbox(text: str) -> None:
    with pytest.raises(InvalidMailbox):
        parse_mailbox(text)


def test_mailboxes_in_utf8() -> None:
    assert parse_mailbox("用户@例子.中国", utf8=True) == ("用户", "例子.中国")
    with pytest.raises(InvalidMailbox, match="SMTPUTF8"):
        parse_mailbox("用户@例子.中国")
    with pytest.raises(InvalidMailbox):
        parse_mailbox("中" * 22 + "@x", utf8=True)


@given(st.text(alphabet='a@.-"\\[]:16 ä', max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text(text: str) -> None:
    try:
        local, domain = parse_mailbox(text, utf8=True)
    except InvalidMailbox:
        return
    assert f"{local}@{domain}" == text
