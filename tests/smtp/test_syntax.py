"""Command lines: what is taken, what it means, and the reply to each fault."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import (
    Auth,
    Bdat,
    Data,
    Expn,
    Hello,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    SyntaxFault,
    Vrfy,
    parse_command,
)
from mailwright.smtp.syntax.parameters import (
    MailParameters,
    RcptParameters,
    decode_xtext,
    encode_xtext,
)
from mailwright.smtp.syntax.path import NULL_PATH, Path, PathFault, parse_mailbox


def fault(line: str | bytes) -> Reply:
    found = parse_command(line if isinstance(line, bytes) else line.encode())
    assert isinstance(found, SyntaxFault), found
    return found.reply


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("MAIL FROM:<alice@example.org>", Path("alice", "example.org")),
        ("mail from:<Alice@Example.ORG>", Path("Alice", "example.org")),
        ("MAIL FROM: <alice@example.org>", Path("alice", "example.org")),
        ("MAIL FROM:   <alice@example.org>", Path("alice", "example.org")),
        ("MAIL FROM:alice@example.org", Path("alice", "example.org")),
        ("MAIL FROM:<a@" + "x" * 61 + "-x.y-z.org>", Path("a", "x" * 61 + "-x.y-z.org")),
        ("MAIL FROM:<>", NULL_PATH),
        ("MAIL FROM: <>", NULL_PATH),
        ("MAIL FROM:<@relay.example,@b.example:alice@example.org>", Path("alice", "example.org")),
        ('MAIL FROM:<"a b"@example.org>', Path("a b", "example.org")),
        ('MAIL FROM:<"a>b"@example.org>', Path("a>b", "example.org")),
        ('MAIL FROM:<"a\\"b\\\\"@example.org>', Path('a"b\\', "example.org")),
        ('MAIL FROM:<"alice"@example.org>', Path("alice", "example.org")),
        ('MAIL FROM:<"a@b"@example.org>', Path("a@b", "example.org")),
        ("MAIL FROM:<a..b.@example.org>", Path("a..b.", "example.org")),
        ("MAIL FROM:<a+b/c=d@example.org>", Path("a+b/c=d", "example.org")),
        ("MAIL FROM:<alice@[192.0.2.1]>", Path("alice", "[192.0.2.1]")),
        ("MAIL FROM:<alice@[IPv6:2001:DB8:0::1]>", Path("alice", "[IPv6:2001:db8::1]")),
        ("MAIL FROM:<alice@example.org.>", Path("alice", "example.org")),
        ("MAIL FROM:<alice@my_host>", Path("alice", "my_host")),
        ("MAIL FROM:<" + "a" * 242 + "@example.org>", Path("a" * 242, "example.org")),
    ],
)
def test_reverse_paths(line: str, path: Path) -> None:
    assert parse_command(line.encode()) == Mail(path, MailParameters())


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("RCPT TO:<bob@example.org>", Path("bob", "example.org")),
        ("RCPT TO:bob@example.org", Path("bob", "example.org")),
        ("RCPT TO:<postmaster>", Path("postmaster", "")),
        ("RCPT TO:<Postmaster>", Path("Postmaster", "")),
        ("rcpt to: <@a.example:bob@example.org>", Path("bob", "example.org")),
        ("RCPT TO:<jürgen@bücher.example>", Path("jürgen", "xn--bcher-kva.example")),
        ("RCPT TO:<用户@例子.example>", Path("用户", "xn--fsqu00a.example")),
    ],
)
def test_forward_paths(line: str, path: Path) -> None:
    assert parse_command(line.encode()) == Rcpt(path, RcptParameters())


@pytest.mark.parametrize(
    ("line", "code", "enhanced"),
    [
        ("MAIL", 501, "5.5.4"),
        ("MAIL <a@example.org>", 501, "5.5.4"),
        ("MAIL FROM <a@example.org>", 501, "5.5.4"),
        ("MAIL FROM:", 501, "5.5.4"),
        ("MAIL FROM:<a@example.org", 501, "5.5.4"),
        ("MAIL FROM:<a@example.org>>", 501, "5.5.4"),
        ("MAIL FROM:<<a@example.org>>", 501, "5.5.4"),
        ("MAIL FROM:<a@example.org>SIZE=1", 501, "5.5.4"),
        ('MAIL FROM:<"a@example.org>', 501, "5.5.4"),
        ("MAIL FROM:<alice>", 553, "5.1.7"),
        ("MAIL FROM:<@example.org>", 553, "5.1.7"),
        ("MAIL FROM:<a@>", 553, "5.1.7"),
        ("MAIL FROM:<a@b@example.org>", 553, "5.1.7"),
        ("MAIL FROM:<a b@example.org>", 553, "5.1.7"),
        ("MAIL FROM:<a@exa mple.org>", 553, "5.1.7"),
        ("MAIL FROM:<a@-example.org>", 553, "5.1.7"),
        ("MAIL FROM:<a@example..org>", 553, "5.1.7"),
        ("MAIL FROM:<a@" + "x" * 64 + ".org>", 553, "5.1.7"),
        ("MAIL FROM:<a@" + "x" * 62 + "-.org>", 553, "5.1.7"),
        ("MAIL FROM:<a@-x.org>", 553, "5.1.7"),
        ("MAIL FROM:<a@[192.0.2.256]>", 553, "5.1.7"),
        ("MAIL FROM:<a@[192.0.2.1>", 553, "5.1.7"),
        ("MAIL FROM:<a@[IPv6:192.0.2.1]>", 553, "5.1.7"),
        ("MAIL FROM:<a@[IPv6:fe80::1%eth0]>", 553, "5.1.7"),
        ("MAIL FROM:<a@[Tag:x]>", 553, "5.1.7"),
        ("MAIL FROM:<" + "a" * 243 + "@example.org>", 501, "5.1.0"),
        ("MAIL FROM:<a@" + "example." * 40 + "org>", 501, "5.1.0"),
        ("MAIL FROM:<ü@example.org>", 553, "5.6.7"),
        ("RCPT TO:<>", 553, "5.1.3"),
        ("RCPT TO:<bob>", 553, "5.1.3"),
        ("RCPT TO:<bob@exa_mple.->", 553, "5.1.3"),
        ("RCPT TO:<bob@example.org->", 553, "5.1.3"),
        ("RCPT TO:<bob@mail.example-.org>", 553, "5.1.3"),
        ("RCPT TO:<bob@ü\u2028.example>", 553, "5.1.3"),
        ("RCPT FROM:<bob@example.org>", 501, "5.5.4"),
        ("RCPT", 501, "5.5.4"),
    ],
)
def test_bad_paths(line: str, code: int, enhanced: str) -> None:
    reply = fault(line)
    assert (reply.code, reply.enhanced) == (code, enhanced)


@pytest.mark.parametrize(
    ("parameters", "meaning"),
    [
        ("SIZE=1000", MailParameters(size=1000)),
        ("SIZE=" + "9" * 20, MailParameters(size=10**20 - 1)),
        ("body=8bitmime", MailParameters(body="8BITMIME")),
        ("BODY=BINARYMIME SMTPUTF8", MailParameters(body="BINARYMIME", smtputf8=True)),
        ("RET=HDRS  ENVID=QQ+2B314159", MailParameters(ret="HDRS", envid="QQ+314159")),
        ("AUTH=<>", MailParameters(auth="")),
        ("AUTH=e+3Dmc2@example.org", MailParameters(auth="e=mc2@example.org")),
        ("REQUIRETLS ", MailParameters(requiretls=True)),
    ],
)
def test_parameters_of_mail(parameters: str, meaning: MailParameters) -> None:
    command = parse_command(f"MAIL FROM:<a@example.org> {parameters}".encode())
    assert command == Mail(Path("a", "example.org"), meaning)


@pytest.mark.parametrize(
    ("parameters", "meaning"),
    [
        ("NOTIFY=NEVER", RcptParameters(("NEVER",))),
        ("notify=delay,success", RcptParameters(("SUCCESS", "DELAY"))),
        ("ORCPT=rfc822;Bob+2Btag@example.org", RcptParameters((), "rfc822;Bob+tag@example.org")),
        ("ORCPT=rfc822;srs=x@example.org", RcptParameters((), "rfc822;srs=x@example.org")),
        ("ORCPT=utf-8;j\\x{FC}rgen@example.org", RcptParameters((), "utf-8;jürgen@example.org")),
        ("ORCPT=utf-8;jürgen@example.org", RcptParameters((), "utf-8;jürgen@example.org")),
    ],
)
def test_parameters_of_rcpt(parameters: str, meaning: RcptParameters) -> None:
    command = parse_command(f"RCPT TO:<a@example.org> {parameters}".encode())
    assert command == Rcpt(Path("a", "example.org"), meaning)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("MAIL FROM:<a@b.example> SIZE", 501),
        ("MAIL FROM:<a@b.example> SIZE=", 501),
        ("MAIL FROM:<a@b.example> SIZE=-1", 501),
        ("MAIL FROM:<a@b.example> SIZE=1k", 501),
        ("MAIL FROM:<a@b.example> SIZE=²", 501),
        ("MAIL FROM:<a@b.example> SIZE=" + "1" * 21, 501),
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", 501),
        ("MAIL FROM:<a@b.example> BODY=9BIT", 504),
        ("MAIL FROM:<a@b.example> BODY", 501),
        ("MAIL FROM:<a@b.example> RET=ALL", 504),
        ("MAIL FROM:<a@b.example> ENVID=a+2", 501),
        ("MAIL FROM:<a@b.example> ENVID=a+0Ab", 501),
        ("MAIL FROM:<a@b.example> ENVID=" + "x" * 101, 501),
        ("MAIL FROM:<a@b.example> SMTPUTF8=yes", 501),
        ("MAIL FROM:<a@b.example> REQUIRETLS=yes", 501),
        ("MAIL FROM:<a@b.example> =x", 501),
        ("MAIL FROM:<a@b.example> X-FOO=1", 555),
        ("MAIL FROM:<a@b.example> NOTIFY=NEVER", 555),
        ("RCPT TO:<a@b.example> SIZE=1", 555),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", 501),
        ("RCPT TO:<a@b.example> NOTIFY=", 501),
        ("RCPT TO:<a@b.example> NOTIFY=,", 501),
        ("RCPT TO:<a@b.example> ORCPT=bob@example.org", 501),
        ("RCPT TO:<a@b.example> ORCPT=rfc822;", 501),
        ("RCPT TO:<a@b.example> ORCPT=rfc822;" + "x" * 600, 501),
        ("RCPT TO:<a@b.example> ORCPT=utf-8;\\x{D800}", 501),
        ("RCPT TO:<a@b.example> ORCPT=utf-8;\\x{0A}", 501),
    ],
)
def test_bad_parameters(line: str, code: int) -> None:
    assert fault(line).code == code


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("EHLO mail.example.org", Hello("EHLO", "mail.example.org")),
        ("helo  [192.0.2.1] ", Hello("HELO", "[192.0.2.1]")),
        ("LHLO localhost", Hello("LHLO", "localhost")),
        ("EHLO my pc", Hello("EHLO", "my?pc")),
        ("EHLO x(evil);by<y>", Hello("EHLO", "x?evil??by?y?")),
        ("EHLO [IPv6:2001:db8::1]", Hello("EHLO", "[IPv6:2001:db8::1]")),
        ("EHLO 小明的电脑", Hello("EHLO", "?????")),
        ("DATA", Data()),
        ("data  ", Data()),
        ("BDAT 0 LAST", Bdat(0, True)),
        ("bdat 1048576 last ", Bdat(1048576, True)),
        ("BDAT 86", Bdat(86, False)),
        ("RSET", Rset()),
        ("NOOP whatever you like", Noop()),
        ("QUIT", Quit()),
        ("VRFY postmaster", Vrfy("postmaster")),
        ("EXPN staff", Expn("staff")),
        ("HELP", Help("")),
        ("HELP mail", Help("mail")),
        ("STARTTLS", StartTls()),
        ("AUTH plain", Auth("PLAIN", None)),
        ("AUTH PLAIN =", Auth("PLAIN", b"=")),
        ("AUTH PLAIN AGEAYg==", Auth("PLAIN", b"AGEAYg==")),
        ("MAIL\tFROM:<>", Mail(NULL_PATH, MailParameters())),
    ],
)
def test_commands(line: str, command: object) -> None:
    assert parse_command(line.encode()) == command


@pytest.mark.parametrize(
    ("line", "code", "fatal"),
    [
        ("EHLO", 501, False),
        ("EHLO " + "x" * 256, 501, False),
        ("DATA now", 501, False),
        ("QUIT please", 501, False),
        ("STARTTLS now", 501, False),
        ("BDAT", 501, True),
        ("BDAT -1", 501, True),
        ("BDAT 1 FIRST", 501, True),
        ("BDAT 99999999999999999999 LAST", 501, True),
        ("VRFY", 501, False),
        ("AUTH", 501, False),
        ("AUTH PLAIN a b", 501, False),
        ("", 500, False),
        ("FOO", 500, False),
        ("EHLO\x00x", 500, False),
        ("NOOP a\rb", 500, False),
        ("SEND FROM:<a@example.org>", 502, False),
        ("ETRN example.org", 502, False),
        ("GET / HTTP/1.1", 421, True),
        ("Subject: hello", 421, True),
    ],
)
def test_bad_commands(line: str, code: int, fatal: bool) -> None:
    found = parse_command(line.encode())
    assert isinstance(found, SyntaxFault)
    assert (found.reply.code, found.fatal) == (code, fatal)


def test_not_utf8() -> None:
    assert fault(b"MAIL FROM:<\xff@example.org>").code == 500
    assert parse_command("EHLO 电脑".encode("gbk")) == Hello("EHLO", "????")


def test_utf8_needs_its_parameter() -> None:
    assert parse_command("MAIL FROM:<ü@example.org> SMTPUTF8".encode()) == Mail(
        Path("ü", "example.org"), MailParameters(smtputf8=True)
    )


@pytest.mark.parametrize(
    ("path", "text", "utf8"),
    [
        (Path("alice", "example.org"), "alice@example.org", False),
        (Path("a b", "example.org"), '"a b"@example.org', False),
        (Path('a"\\', "example.org"), '"a\\"\\\\"@example.org', False),
        (Path("a..b", "example.org"), '"a..b"@example.org', False),
        (Path("ü", "example.org"), "ü@example.org", True),
        (Path("postmaster", ""), "postmaster", False),
        (NULL_PATH, "", False),
    ],
)
def test_paths_as_text(path: Path, text: str, utf8: bool) -> None:
    assert str(path) == text
    assert path.needs_utf8 == utf8
    if path.domain:
        assert parse_mailbox(text) == path


def test_replies_on_the_wire() -> None:
    assert Reply(250, "2.0.0", ("OK",)).to_bytes() == b"250 2.0.0 OK\r\n"
    assert Reply(250, "", ("a", "b")).to_bytes() == b"250-a\r\n250 b\r\n"
    assert (
        Reply(550, "5.1.1", ("no\r\n250 yes", "ü")).to_bytes()
        == b"550-5.1.1 no??250 yes\r\n550 5.1.1 \\xfc\r\n"
    )
    long = Reply(550, "5.7.1", ("x" * 1000,)).to_bytes()
    assert all(len(line) <= 512 for line in long.splitlines(keepends=True))
    assert long.count(b"x") == 1000


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:<" + "@a," * 1300 + ":b@c>",
        "MAIL FROM:<" + '"' * 4000,
        'MAIL FROM:<"' + "\\" * 4000,
        "MAIL FROM:<" + "a" * 4000,
        "MAIL FROM:<a@" + "a-" * 2000,
        "MAIL FROM:<a@" + "a." * 2000 + ">",
        "MAIL FROM:<a@b.example> " + "A=1 " * 1000,
        "RCPT TO:<a@b.example> ORCPT=utf-8;" + "\\x{41}" * 600,
        "AUTH " + "x " * 2000,
    ],
)
def test_hostile_lines_cost_little(line: str) -> None:
    began = time.process_time()
    for _ in range(20):
        assert isinstance(parse_command(line.encode()), SyntaxFault)
    assert time.process_time() - began < 0.4


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_no_line_raises(line: bytes) -> None:
    parse_command(line)
    parse_command(b"MAIL FROM:" + line)
    parse_command(b"RCPT TO:<" + line)
    parse_command(b"MAIL FROM:<a@b.example> " + line)
    parse_command(b"RCPT TO:<a@b.example> ORCPT=" + line)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(min_codepoint=0x20, exclude_categories=("Cs", "Cc")), min_size=1, max_size=30),
    st.sampled_from(["example.org", "[192.0.2.1]", "xn--bcher-kva.example"]),
)
def test_any_mailbox_round_trips(local: str, domain: str) -> None:
    path = Path(local, domain)
    try:
        assert parse_mailbox(str(path)) == path
    except PathFault:
        assert not local.isascii()  # only ASCII may be escaped in a quoted string


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30))
def test_xtext_round_trips(text: str) -> None:
    assert decode_xtext(encode_xtext(text), 200) == text


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20))
def test_xtext_decodes_to_printable_ascii_or_nothing(text: str) -> None:
    decoded = decode_xtext(text, 100)
    assert decoded.isascii()
    assert decoded.isprintable()
    assert bool(decoded) == bool(re.fullmatch(r"([!-*,-~]|\+[2-6][0-9A-Fa-f]|\+7[0-9A-Ea-e])+", text))
