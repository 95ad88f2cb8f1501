"""Rights, annotations' names and quotas in the grammar, and their limits over a session."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imap.dialog import Dialog, Setting, Turn
from imap.house import House
from imap.test_dialogs import store as store
from mailwright.imap import responses
from mailwright.imap.syntax.acl import (
    RIGHTS,
    expand_rights,
    format_rights,
    grantable_rights,
    parse_setacl,
    parse_setquota,
)
from mailwright.imap.syntax.entries import parse_entry
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.mailbox import parse_list
from mailwright.imap.syntax.metadata import parse_getmetadata, parse_setmetadata
from mailwright.store import acl
from mailwright.store.store import Store


def test_the_rights_are_those_of_the_store() -> None:
    assert RIGHTS == acl.RIGHTS


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(RIGHTS + "cd")))
def test_rights_survive_being_shown(letters: str) -> None:
    rights = expand_rights(letters)
    shown = format_rights(rights)
    assert acl.ordered(rights) == rights
    assert expand_rights(shown.strip('"cd')) == rights
    assert ("c" in shown) == ("k" in rights)
    assert ("d" in shown) == bool(set("xte") & set(rights))
    assert set(letters) <= set(shown)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_other_letters_are_refused(letters: str) -> None:
    if set(letters) <= set(RIGHTS + "cd"):
        assert set(expand_rights(letters)) <= set(RIGHTS)
    else:
        with pytest.raises(BadSyntax):
            expand_rights(letters)


@pytest.mark.parametrize("always", ["", RIGHTS])
def test_each_right_is_listed_once(always: str) -> None:
    listed = grantable_rights(always).replace('"', "").replace(" ", "")
    assert sorted(listed) == sorted(RIGHTS + "cd")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_entries_of_any_octets(octets: bytes) -> None:
    try:
        entry = parse_entry(Lexer(responses.string(octets.replace(b"\x00", b""))))
    except BadSyntax:
        return
    assert entry == entry.lower()
    assert entry.startswith(("/private", "/shared"))
    assert entry.isascii()
    assert not set(entry) & set("*%")
    assert "" not in entry.split("/")[1:]


_level = st.text(st.sampled_from("abc #.-_~"), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["/private", "/Shared"]),
    st.lists(_level, min_size=1, max_size=5),
    st.none() | st.binary(),
)
def test_annotations_survive_the_wire(scope: str, levels: list[str], value: bytes | None) -> None:
    entry = "/".join([scope, *levels])
    line = responses.metadata("a b", [(entry, value)])
    parsed = parse_setmetadata(Lexer(line.removeprefix(b"* METADATA ").removesuffix(b"\r\n")))
    assert parsed == ("a b", ((entry.lower(), value),))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('()"/ ~{}+\r\nadeprhxstivDEPTHMAXSIZE01*%\\')).map(str.encode))
def test_hostile_arguments_raise_nothing_else(text: bytes) -> None:
    for parse in (parse_getmetadata, parse_setmetadata, parse_setacl, parse_setquota, parse_list):
        try:
            parse(Lexer(text))
        except BadSyntax:
            continue


def test_entries_are_bounded() -> None:
    with pytest.raises(BadSyntax) as refused:
        parse_entry(Lexer(b"/private/" + b"x" * 250))
    assert refused.value.code == "LIMIT"
    many = " ".join(f"/private/{n}" for n in range(101))
    for text in (f"INBOX ({many})", f"(DEPTH 1) INBOX ({many})"):
        with pytest.raises(BadSyntax) as refused:
            parse_getmetadata(Lexer(text.encode()))
        assert (refused.value.condition, refused.value.code) == ("NO", "LIMIT")


def dialog(*lines: str) -> Dialog:
    turns = [Turn(line[0], 1, "", line[3:], [""], number) for number, line in enumerate(lines, 1)]
    return Dialog("limits", list[Setting](), turns)


@pytest.mark.asyncio(loop_scope="module")
async def test_values_are_bounded(store: Store) -> None:
    lines = (
        "C: a SETMETADATA INBOX (/private/ok x /private/long {33000+}",
        "C: " + "x" * 33000 + ")",
        "S: a BAD",
        'C: b SETMETADATA INBOX (/private/ok "x" /private/long {33000+}',
        "C: " + "x" * 33000 + ")",
        "S: b NO [METADATA MAXSIZE 32768]",
        "C: c GETMETADATA INBOX /private/ok",
        "S: * METADATA INBOX (/private/ok NIL)",
        "S: c OK",
        "C: d SETMETADATA INBOX (/private/long {32768+}",
        "C: " + "x" * 32768 + ")",
        "S: d OK",
        "C: e SETMETADATA INBOX (/private/long {70000+}",
        "C: " + "x" * 70000 + ")",
        "S: e BAD [TOOBIG]",
    )
    await House(store, dialog(*lines)).play(bytewise=False)


@pytest.mark.asyncio(loop_scope="module")
async def test_entries_on_a_mailbox_are_bounded(store: Store) -> None:
    entries = " ".join(f'/private/e{n} "x"' for n in range(100))
    lines = (
        f"C: a SETMETADATA INBOX ({entries})",
        "S: a OK",
        'C: b SETMETADATA INBOX (/private/another "x")',
        "S: b NO [METADATA TOOMANY]",
        'C: c SETMETADATA INBOX (/private/e0 NIL /private/another "x")',
        "S: c OK",
        f'C: d SETMETADATA INBOX ({entries} /private/one "x")',
        "S: d NO [LIMIT]",
        'C: e SETMETADATA Sent (/private/one "x")',
        "S: e OK",
    )
    await House(store, dialog(*lines)).play(bytewise=False)
