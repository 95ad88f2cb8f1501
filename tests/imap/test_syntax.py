"""The command grammar: tokens, sets, dates, flags, names, patterns, FETCH and SEARCH."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.imap.mailbox_name import InvalidName, decode_name, encode_name
from mailwright.imap.responses import astring, search_return, string
from mailwright.imap.syntax import fetch, search
from mailwright.imap.syntax.dates import format_date_time, parse_date, parse_date_time
from mailwright.imap.syntax.fetch import parse_fetch
from mailwright.imap.syntax.flags import Flags, format_flags, parse_flag_list
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import compile_pattern, parse_list, parse_mailbox
from mailwright.imap.syntax.search import parse_search
from mailwright.imap.syntax.sequence import (
    SequenceSet,
    contains,
    format_ranges,
    format_set,
    join_ranges,
    parse_sequence_set,
    slices,
    to_ranges,
)

MANY = settings(max_examples=150, deadline=None)


def sequence(text: str) -> SequenceSet:
    return parse_sequence_set(Lexer(text.encode()))


class TestSequenceSets:
    def test_ranges_are_ordered_and_joined(self) -> None:
        assert sequence("5:3,1,2,10:*").resolve(12) == [(1, 5), (10, 12)]

    def test_star_alone_is_the_last_message(self) -> None:
        assert sequence("*").resolve(7) == [(7, 7)]

    def test_star_below_the_other_end(self) -> None:
        assert sequence("20:*").resolve(7) == [(7, 20)]

    def test_nothing_in_an_empty_mailbox(self) -> None:
        assert sequence("*").resolve(0) == []

    @pytest.mark.parametrize(
        "text", ["0", "1:0", "4294967296", "1,,2", ",1", "1:", ":1", "1:2:3", "99999999999", "**"]
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(BadSyntax):
            sequence(text)

    def test_largest_range_costs_nothing(self) -> None:
        ranges = sequence("1:4294967295").resolve(4294967295)
        assert ranges == [(1, 4294967295)]
        assert slices(ranges, range(1, 100)) == [(0, 99)]

    def test_ten_thousand_ranges(self) -> None:
        started = time.process_time()
        text = ",".join(f"{number}:{number + 1}" for number in range(60_000, 30_000, -3))
        assert len(sequence(text).resolve(99_999)) == 10_000
        assert time.process_time() - started < 0.5

    @MANY
    @given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=12))
    def test_joined_ranges_hold_the_same_numbers(self, pairs: list[tuple[int, int]]) -> None:
        ordered = [(min(pair), max(pair)) for pair in pairs]
        joined = join_ranges(ordered)
        numbers = {number for low, high in ordered for number in range(low, high + 1)}
        assert {number for number in range(70) if contains(joined, number)} == numbers
        assert joined == to_ranges(sorted(numbers))

    @MANY
    @given(st.sets(st.integers(1, 5000)))
    def test_a_formatted_set_reads_back(self, numbers: set[int]) -> None:
        text = format_set(sorted(numbers))
        assert text == format_ranges(to_ranges(sorted(numbers)))
        if numbers:
            found = sequence(text).resolve(9999)
            assert {n for low, high in found for n in range(low, high + 1)} == numbers


class TestDates:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ('"17-Jul-1996 02:44:25 -0700"', 837596665),
            ('" 1-Jan-1970 00:00:00 +0000"', 0),
            ('"01-jan-1970 01:00:00 +0100"', 0),
        ],
    )
    def test_date_time(self, text: str, seconds: int) -> None:
        assert parse_date_time(Lexer(text.encode())) == seconds

    @pytest.mark.parametrize(
        "text",
        ['"1-Jan-1970 00:00:00 +0000"', '"31-Feb-2020 00:00:00 +0000"', '"01-Jan-1970 24:00:00 +0000"', "x"],
    )
    def test_wrong_date_time(self, text: str) -> None:
        with pytest.raises(BadSyntax):
            parse_date_time(Lexer(text.encode()))

    @MANY
    @given(st.integers(-(10**10), 10**11))
    def test_a_formatted_date_reads_back(self, seconds: int) -> None:
        assert parse_date_time(Lexer(b'"%b"' % format_date_time(seconds))) == seconds

    def test_day(self) -> None:
        assert parse_date(Lexer(b"2-Jan-1970")) == 1
        assert parse_date(Lexer(b'"02-Jan-1970"')) == 1

    def test_a_date_outside_the_calendar_is_shown_all_the_same(self) -> None:
        assert format_date_time(10**15).startswith(b"31-Dec-9999")


class TestFlags:
    def test_keywords_are_sorted_and_once(self) -> None:
        found = parse_flag_list(Lexer(rb"(\seen b \FLAGGED a B)"))
        assert found == Flags(5, ("a", "b"))
        assert format_flags(found.mask, " ".join(found.keywords)) == r"(\Flagged \Seen a b)"

    def test_too_many_keywords(self) -> None:
        with pytest.raises(BadSyntax) as caught:
            parse_flag_list(Lexer(f"({' '.join(f'k{n}' for n in range(200))})".encode()))
        assert (caught.value.condition, caught.value.code) == ("NO", "LIMIT")


class TestMailboxNames:
    @pytest.mark.parametrize(
        ("wire", "name"),
        [
            (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),  # RFC 3501 5.1.3
            (b"&-", "&"),
            (b"a&-b&-", "a&b&"),
            (b"&Jjo-!", "☺!"),
            (b"&2D3eAA-", "😀"),
            ("日本".encode(), "日本"),
        ],
    )
    def test_decoded(self, wire: bytes, name: str) -> None:
        assert decode_name(wire) == name
        if wire.isascii():
            assert encode_name(name) == wire

    @pytest.mark.parametrize(
        "wire",
        [
            b"&",
            b"a&b",
            b"&AGE-",
            b"&Jjo-&Jjo-",
            b"&Jj-",
            b"&!!-",
            b"&2D0-",
            b"\xff",
            b"a\x00b",
            b"&AAA-",
            b"&AAo-",
        ],
    )
    def test_refused(self, wire: bytes) -> None:
        with pytest.raises(InvalidName):
            decode_name(wire)

    @MANY
    @given(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40))
    def test_every_name_reads_back(self, name: str) -> None:
        wire = encode_name(name)
        assert decode_name(wire) == name
        assert re.fullmatch(rb"[\x20-\x7e]*", wire)

    @MANY
    @given(st.binary(max_size=30))
    def test_any_octets_are_a_name_or_refused(self, wire: bytes) -> None:
        try:
            name = decode_name(wire)
        except InvalidName:
            return
        assert decode_name(encode_name(name)) == name

    def test_inbox_in_any_case(self) -> None:
        assert parse_mailbox(Lexer(b"inBox")) == "INBOX"
        assert parse_mailbox(Lexer(b"inBox/a")) == "INBOX/a"
        assert parse_mailbox(Lexer(b"inBoxes")) == "inBoxes"


def slow_match(pattern: str, name: str) -> bool:
    """RFC 3501 6.3.8, word by word."""
    if not pattern:
        return not name
    head, rest = pattern[0], pattern[1:]
    if head not in "*%":
        return name[:1] == head and slow_match(rest, name[1:])
    if slow_match(rest, name):
        return True
    return bool(name) and (head == "*" or name[0] != "/") and slow_match(pattern, name[1:])


class TestPatterns:
    @settings(max_examples=300, deadline=None)
    @given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=8))
    def test_like_the_definition(self, pattern: str, name: str) -> None:
        assert bool(compile_pattern(pattern).fullmatch(name)) is slow_match(pattern, name)

    def test_many_wildcards_cost_little(self) -> None:
        started = time.process_time()
        for wildcard in ("*a", "%a", "*a%a"):
            assert not compile_pattern(wildcard * 100 + "b").fullmatch("a" * 1000)
        assert time.process_time() - started < 0.5


PARSERS: dict[str, Callable[[Lexer], object]] = {
    "fetch": parse_fetch,
    "search": parse_search,
    "list": parse_list,
    "flags": parse_flag_list,
    "set": parse_sequence_set,
    "mailbox": parse_mailbox,
    "date": parse_date_time,
}


class TestTokens:
    @MANY
    @given(st.binary(max_size=40))
    def test_a_rendered_string_reads_back(self, value: bytes) -> None:
        for rendered in (string(value), astring(value)):
            if b"\x00" in value:  # only a literal8 may hold it
                continue
            lexer = Lexer(rendered)
            assert lexer.astring() == value
            assert lexer.at_end()

    @MANY
    @given(
        st.binary(max_size=60),
        st.sampled_from(sorted(PARSERS)),
    )
    def test_any_octets_parse_or_are_refused(self, text: bytes, what: str) -> None:
        lexer = Lexer(text)
        with suppress(BadSyntax):
            PARSERS[what](lexer)
        assert 0 <= lexer.pos <= len(text)


CHARSETS = [
    "US-ASCII",
    "UTF-8",
    "GB2312",
    "HZ-GB-2312",
    "Big5",
    "ISO-2022-JP",
    "EUC-JP",
    "ISO-2022-KR",
    "UTF-16",
]
FETCH = re.findall(r"[A-Z]+|[0-9.:*]+|\W", 'FLAGS UID()BODY[.PEEK]1.2 HEADER.FIELDS<0.5>"ALL 1:*')
SEARCH = re.findall(r"\S+|  ?", 'ALL  OR  NOT  ( ) 1:5  $  BODY  x  "y"  RETURN  CHARSET  UTF-8  UID')


class TestPrograms:
    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.sampled_from(FETCH), max_size=14))
    def test_fetch_words_in_any_order(self, words: list[str]) -> None:
        try:
            parse_fetch(Lexer(("1 " + "".join(words)).encode()))
        except BadSyntax:
            return

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.sampled_from(SEARCH), max_size=14))
    def test_search_words_in_any_order(self, words: list[str]) -> None:
        try:
            found = parse_search(Lexer("".join(words).replace("  ", " ").encode()))
        except BadSyntax:
            return
        assert isinstance(found.key, search.Key)

    def test_sections(self) -> None:
        found = parse_fetch(Lexer(b"1 (BODY.PEEK[1.2.HEADER.FIELDS (To CC)]<5.10> BODY[] BODY.PEEK[3.MIME])"))
        header, whole, mime = found.attributes
        assert header.label == b"BODY[1.2.HEADER.FIELDS (To CC)]<5>"
        assert header.section is not None
        assert header.section == ((1, 2), "HEADER.FIELDS", (b"to", b"cc"), (5, 10))
        assert header.peek
        assert not whole.peek
        assert mime.label == b"BODY[3.MIME]"

    def test_deep_or_wide_programs_are_refused_quickly(self) -> None:
        started = time.process_time()
        for text in ("(" * 60_000, "NOT " * 15_000 + "ALL", "OR " * 20_000, "ALL " * 15_000 + "ALL"):
            with pytest.raises(BadSyntax) as caught:
                parse_search(Lexer(text.encode()))
            assert caught.value.code == "LIMIT"
        assert time.process_time() - started < 0.5

    @MANY
    @given(st.sampled_from(CHARSETS), st.binary(max_size=60))
    def test_text_of_any_octets_in_any_charset(self, charset: str, octets: bytes) -> None:
        octets = octets.replace(b"\0", b"")
        literal = b"{%d}\r\n%b" % (len(octets), octets)
        found = parse_search(Lexer(b"CHARSET %b SUBJECT %b" % (charset.encode(), literal)))
        assert isinstance(found.key, search.InText)
        found.key.value.encode()  # a text that the database takes

    def test_octets_that_are_no_text_cost_little(self) -> None:
        """They are not guessed at: the event loop would stand still for a second."""
        started = time.process_time()
        parse_search(Lexer(b" ".join([b'SUBJECT "\xe9\xff\x81\xd0\xb3\xa7\xfe"'] * 1990)))
        assert time.process_time() - started < 0.5

    def test_search_return(self) -> None:
        assert search_return([], frozenset({"MIN", "MAX", "ALL", "COUNT"})) == [("COUNT", "0")]
        assert search_return([2, 3, 9], frozenset({"MIN", "ALL"}), 77) == [
            ("MIN", "2"),
            ("ALL", "2:3,9"),
            ("MODSEQ", "77"),
        ]


def test_attributes_of_fetch_that_are_remembered_are_those_that_were_parsed() -> None:
    for _ in range(2):
        for number in range(1, 500):
            args = parse_fetch(Lexer(b"%d (UID BODY.PEEK[%d])" % (number, number)))
            assert [one.label for one in args.attributes] == [b"UID", b"BODY[%d]" % number]
            assert args.numbers.resolve(1000) == [(number, number)]
    assert len(fetch._known) <= 200
    modified = parse_fetch(Lexer(b"1 (UID) (CHANGEDSINCE 7)"))
    assert modified.changed_since == 7
    assert parse_fetch(Lexer(b"1 (UID)")).changed_since is None


def test_what_is_no_utf8_is_refused_though_another_client_may_send_it() -> None:
    text = b'1 (BODY.PEEK[HEADER.FIELDS ("\xff")])'
    for _ in range(2):
        parse_fetch(Lexer(text))
        with pytest.raises(BadSyntax):
            parse_fetch(Lexer(text, utf8=True))
