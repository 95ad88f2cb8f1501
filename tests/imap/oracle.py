"""Random mail of which all is known, random search programs, and what they find by plain Python."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from unicodedata import category, normalize

from hypothesis import strategies as st

from imap.house import NOW

DAY = 86400
WORDS = (
    *(
        "alpha",
        "Beta",
        "needle",
        "42-7",
        "x@example.org",
        "a.b.c",
        "don't",
        "STRASSE",
        "straße",
        "ﬁne",
        "fine",
        "é",
    ),
    *(
        "e\u0301",
        "Ärger",
        "世界",
        "界人",
        "世",
        "界",
        "我们明天",
        "ПРИВЕТ",
        "привет",
        "カタカナ",
        "ｶﾀ",
        "한국어",
        "메시지",
    ),
    *("مرحبا", "नमस्ते", "สวัสดี", "😀", "--", "_", "%", "'", "İ", "Istanbul", "İSTANBUL", "ι", "ΣΑΣ", "σας"),
    *(
        "an\u00ad\u00adchor",
        "an\u200bchor",
        "می\u200cخواهم",
        "میخواهم",
        "שלום",
        "\u200fשלום",
        "한",
        "\u1112\u1161\u11ab",
    ),
    *("folded\r\n\tline", "folded\r\n  line", "folded\u3000line", "folded line"),
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
KEYWORDS = ("$Work", "Later", "a_b")


@dataclass(frozen=True)
class Mail:
    """A message of which all is known that a search may ask."""

    fields: tuple[tuple[str, str], ...]
    body: str
    encoding: str
    flags: frozenset[str]
    keywords: frozenset[str]
    internal: int
    sent: datetime | None
    content: bytes = field(default=b"", compare=False)


def write(fields: list[tuple[str, str]], body: str, encoding: str, sent: datetime | None) -> bytes:
    lines = [f"{name}: {value}".encode() for name, value in fields]
    if sent is not None:
        lines.append(sent.strftime("Date: %a, %d %b %Y %H:%M:%S %z").encode())
    octets = body.encode()
    if encoding == "base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    lines += [b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: " + encoding.encode()]
    return b"\r\n".join([*lines, b"", octets])


@st.composite
def mails(draw: st.DrawFn) -> Mail:
    fields = []
    for name in draw(st.lists(st.sampled_from(["Subject", "To", "Cc", "X-Note", "X-Note"]), max_size=4)):
        if name in ("Subject", "X-Note"):
            fields.append((name, draw(TEXTS)))
        else:
            fields.append((name, f"{draw(st.sampled_from(['ann', 'Bob']))}@example.org"))
    fields.append(
        ("From", draw(st.sampled_from(["Zoë <zoe@x.example>", "bob@example.org", "cay@y.example"])))
    )
    sent = None
    if draw(st.booleans()):
        zone = timezone(timedelta(minutes=draw(st.sampled_from([0, 840, -720, 330]))))
        sent = datetime.fromtimestamp(NOW + 1800 * draw(st.integers(-150, 150)), zone)
    body = draw(TEXTS)
    encoding = draw(st.sampled_from(["8bit", "base64"]))
    return Mail(
        tuple(fields),
        body,
        encoding,
        frozenset(draw(st.sets(st.sampled_from(["Seen", "Flagged", "Answered", "Draft"])))),
        frozenset(draw(st.sets(st.sampled_from(KEYWORDS), max_size=2))),
        NOW + 3600 * draw(st.integers(-75, 5)),
        sent,
        write(fields, body, encoding, sent),
    )


def plain(body: str) -> Mail:
    fields = [("From", "ann@example.org")]
    return Mail(
        tuple(fields), body, "8bit", frozenset(), frozenset(), NOW, None, write(fields, body, "8bit", None)
    )


@dataclass(frozen=True)
class Seen:
    """A message in its place."""

    number: int
    uid: int
    mail: Mail


Test = Callable[[Seen], bool]
Program = tuple[bytes, Test]


def fold(text: str) -> str:
    text = normalize("NFKC", text).casefold().replace("i\u0307", "i")
    return re.sub(r"\s+", " ", normalize("NFKC", "".join([char for char in text if category(char) != "Cf"])))


def literal(text: str) -> bytes:
    return b"{%d+}\r\n" % len(text.encode()) + text.encode()


def lines(mail: Mail) -> list[tuple[str, str]]:
    """The header fields as they are read: decoded, in one line."""
    fields = [*mail.fields]
    if mail.sent is not None:
        fields.append(("Date", mail.sent.strftime("%a, %d %b %Y %H:%M:%S %z")))
    fields += [("Content-Type", "text/plain; charset=utf-8"), ("Content-Transfer-Encoding", mail.encoding)]
    return [(name.lower(), fold(value)) for name, value in fields]


def in_field(name: str, needle: str) -> Test:
    return lambda seen: any(
        known == name.lower() and fold(needle) in value for known, value in lines(seen.mail)
    )


def in_body(needle: str) -> Test:
    return lambda seen: fold(needle) in fold(seen.mail.body)


def in_text(needle: str) -> Test:
    return lambda seen: (
        in_body(needle)(seen) or any(fold(needle) in f"{name}: {value}" for name, value in lines(seen.mail))
    )


def day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d-%b-%Y")


def compared(word: str, have: int, wanted: int) -> bool:
    return {"BEFORE": have < wanted, "ON": have == wanted, "SINCE": have >= wanted}[word]


@st.composite
def leaves(draw: st.DrawFn) -> Program:
    kind = draw(
        st.sampled_from(["text"] * 4 + ["flag", "keyword", "day", "sent", "size", "age", "set", "all"])
    )
    if kind == "text":
        whole = draw(
            st.lists(st.sampled_from([*WORDS, "subject", "example"]), min_size=1, max_size=2).map(" ".join)
        )
        start = draw(st.integers(0, len(whole)))
        needle = whole[start : draw(st.integers(start, len(whole)))]
        where = draw(st.sampled_from(["BODY", "TEXT", "SUBJECT", "FROM", "TO", "CC", "X-Note", "References"]))
        if where == "BODY":
            return b"BODY " + literal(needle), in_body(needle)
        if where == "TEXT":
            return b"TEXT " + literal(needle), in_text(needle)
        head = where if where in ("SUBJECT", "FROM", "TO", "CC") else f"HEADER {where}"
        return head.encode() + b" " + literal(needle), in_field(where, needle)
    if kind == "flag":
        name = draw(st.sampled_from(["Seen", "Flagged", "Answered", "Draft"]))
        return name.upper().encode(), lambda seen: name in seen.mail.flags
    if kind == "keyword":
        word = draw(st.sampled_from([*KEYWORDS, "axb"]))
        return f"KEYWORD {word.upper()}".encode(), lambda seen: word in seen.mail.keywords
    if kind in ("day", "sent"):
        at = NOW + DAY * draw(st.integers(-4, 2))
        word = draw(st.sampled_from(["BEFORE", "ON", "SINCE"]))
        if kind == "day":
            return f"{word} {day(at)}".encode(), lambda seen: compared(
                word, seen.mail.internal // DAY, at // DAY
            )
        return (
            f"SENT{word} {day(at)}".encode(),
            lambda seen: (
                seen.mail.sent is not None
                and compared(word, seen.mail.sent.date().toordinal() - 719163, at // DAY)
            ),
        )
    if kind == "size":
        size = draw(st.integers(100, 250))
        return b"LARGER %d" % size, lambda seen: len(seen.mail.content) > size
    if kind == "age":
        age = draw(st.integers(1, 80 * 3600))
        return b"YOUNGER %d" % age, lambda seen: seen.mail.internal >= NOW - age
    if kind == "set":
        some = draw(st.sets(st.integers(1, 8), min_size=1))
        return b"UID " + ",".join(map(str, some)).encode(), lambda seen: seen.uid in some
    return b"ALL", lambda seen: True


def combined(below: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    def both(pair: tuple[Program, Program]) -> Program:
        (first, one), (second, two) = pair
        return b"(" + first + b" " + second + b")", lambda seen: one(seen) and two(seen)

    def either(pair: tuple[Program, Program]) -> Program:
        (first, one), (second, two) = pair
        return b"OR " + first + b" " + second, lambda seen: one(seen) or two(seen)

    def neither(program: Program) -> Program:
        text, test = program
        return b"NOT " + text, lambda seen: not test(seen)

    def fuzzy(program: Program) -> Program:
        return b"FUZZY " + program[0], program[1]

    pairs = st.tuples(below, below)
    return pairs.map(both) | pairs.map(either) | below.map(neither) | below.map(fuzzy)


PROGRAMS = st.recursive(leaves(), combined, max_leaves=6)


@st.composite
def mailboxes(draw: st.DrawFn) -> tuple[list[Mail], list[int]]:
    """Mail, and which of it (by index) comes again by COPY."""
    mail = draw(st.lists(mails(), max_size=7))
    return mail, draw(st.lists(st.integers(0, len(mail) - 1), max_size=2)) if mail else []
