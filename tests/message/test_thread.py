"""Base subjects and message-ids (RFC 5256)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.links import Links, from_record, to_record
from mailwright.message.parser import parse_message
from mailwright.message.subject import base_subject
from mailwright.message.thread import MAX_IDS, message_ids


@pytest.mark.parametrize(
    ("subject", "base", "reply"),
    [
        ("hello", "hello", False),
        ("Re: hello", "hello", True),
        ("re : RE: Fwd: FW: hello", "hello", True),
        ("Re[2]: hello", "hello", True),
        ("Re [a] : hello", "hello", True),
        ("[list] Re: hello", "hello", True),
        ("Re: [list] hello", "hello", True),
        ("[a] [b] Re: [c] [d] hello", "hello", True),
        ("[list] hello", "hello", False),
        ("[a] [b]", "[b]", False),
        ("[only]", "[only]", False),
        ("Re: [only]", "[only]", True),
        ("hello (fwd)", "hello", True),
        ("hello (FWD) (fwd)  ", "hello", True),
        ("[fwd: hello]", "hello", True),
        ("[Fwd: Re: [list] hello (fwd)]", "hello", True),
        ("[fwd: [fwd: Re: hello]]", "hello", True),
        ("Re: [fwd: hello] (fwd)", "hello", True),
        ("  spaces   and\ttabs ", "spaces and tabs", False),
        ("Re:", "", True),
        ("Re: Re:", "", True),
        ("", "", False),
        ("[fwd:]", "", True),
        ("Regarding: hello", "Regarding: hello", False),
        ("hello [x]", "hello [x]", False),
        ("[a hello", "[a hello", False),
        ("Re: 关于会议", "关于会议", True),
        ("Reforward", "Reforward", False),
        ("Re hello", "Re hello", False),
    ],
)
def test_base_subjects(subject: str, base: str, reply: bool) -> None:
    assert base_subject(subject) == (base, reply)


@given(
    st.lists(
        st.sampled_from(["Re:", "[x]", "[fwd:", "]", "(fwd)", " ", "a", "fw:", "[", "re", ":"]), max_size=20
    ).map("".join)
)
@settings(max_examples=300, deadline=None)
def test_the_base_of_a_base_is_itself(subject: str) -> None:
    base, _ = base_subject(subject)
    assert base_subject("Re: " + base)[0] == base_subject(base)[0]
    assert base.strip(" ") == base


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        ("<a@b>", ["a@b"]),
        ("<a@b> <c@d>\r\n\t<e@f>", ["a@b", "c@d", "e@f"]),
        ("<a@b>,<c@d>", ["a@b", "c@d"]),
        ("<a@b><a@b>", ["a@b"]),
        ("<a@b> <a@b> <c@d>", ["a@b", "c@d"]),
        ("<a@b> <c@d> <e@f> <a@b>", ["a@b", "c@d", "e@f", "a@b"]),
        ('<""> <a@b> <"">', ["a@b"]),
        ("Your message of Monday <a@b> (fine)", ["a@b"]),
        ("a@b", ["a@b"]),
        ('<"a"@b>', ["a@b"]),
        ("<a@\r\n b>", ["a@b"]),
        ("<no-at-sign>", ["no-at-sign"]),
        ("", []),
        ("<>", []),
        ("no id at all", []),
        ("<中文@b>", ["中文@b"]),
    ],
)
def test_message_ids(raw: str, ids: list[str]) -> None:
    assert message_ids(raw.encode()) == ids


def test_of_many_ids_the_first_and_the_last_stay() -> None:
    ids = message_ids(b" ".join(b"<%d@x>" % number for number in range(1000)))
    assert (len(ids), ids[0], ids[1], ids[-1]) == (MAX_IDS, "0@x", "801@x", "999@x")


def keys(header: str) -> list[str]:
    """The ids whose hashes are the keys by which a message is threaded, in their order."""
    known = {links(f"Message-ID: <{number}@x>").own: f"{number}@x" for number in "m12349"}
    return [known[key] for key in links(header).keys]


def links(header: str) -> Links:
    return from_record(to_record(parse_message(header.encode() + b"\n\n")))


def test_thread_keys() -> None:
    assert keys("Message-ID: <m@x>\nReferences: <1@x> <2@x>\nIn-Reply-To: <9@x>") == ["m@x", "2@x", "1@x"]
    assert keys("Message-ID: <m@x>\nIn-Reply-To: <2@x> <3@x>") == ["m@x", "2@x"]
    assert keys("References: <1@x>") == ["1@x"]
    assert keys("Message-ID: <m@x>\nReferences: <m@x> <1@x>") == ["m@x", "1@x"]
    assert keys("Subject: x") == []
