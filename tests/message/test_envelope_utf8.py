"""A stored ENVELOPE in UTF-8 is what the message itself would give."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.parser import parse_message
from mailwright.message.structure import bodystructure, envelope, envelope_to_utf8, envelope_utf8

FIELDS = st.sampled_from(
    [
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= an \xe4\xbd\xa0\xe5\xa5\xbd",
        b'Subject: a "quoted" \\ subject with =?iso-8859-1?q?=FC?=',
        b"Subject: plain",
        b"Subject: =?utf-8?b?5L2g5aW9?= =?utf-8?b?5L2g5aW9?=",
        b'From: =?utf-8?q?Fran=C3=A7ois?= <f@example.org>, "B. \\" ob" <bob@example.org>',
        b"From: J\xc3\xbcrgen <j\xc3\xbcrgen@example.org>",
        b"To: =?utf-8?q?Gruppe_=C3=BC?=: a@example.org, =?utf-8?q?=C3=A4?= <b@example.org>;",
        b"Cc: undisclosed-recipients:;",
        b"Message-ID: <=?utf-8?q?not=5Fa=5Fword?=@example.org>",
        b"In-Reply-To: =?utf-8?q?=C3=BC?= <a@example.org>",
        b"Date: =?utf-8?q?heute?=",
    ]
)


@settings(max_examples=200, deadline=None)
@given(fields=st.lists(FIELDS, max_size=7))
def test_the_stored_form_gives_what_the_message_gives(fields: list[bytes]) -> None:
    parsed = parse_message(b"".join(field + b"\r\n" for field in fields) + b"\r\n")
    assert envelope_to_utf8(envelope(parsed)) == envelope_utf8(parsed)


def test_message_global_shows_what_it_holds() -> None:
    parsed = parse_message(
        "Content-Type: message/global\r\n\r\nSubject: Grüße\r\nFrom: ü <ü@example.org>\r\n\r\nwords\r\n".encode()
    )
    rev1 = bodystructure(parsed.root)
    rev2 = bodystructure(parsed.root, utf8=True).decode("utf-8")
    assert rev1.startswith(b'("message" "global" NIL NIL NIL "7bit" ')
    assert b"words" not in rev1
    assert rev1.isascii()
    assert '(NIL "Grüße" (("ü" NIL "ü" "example.org"))' in rev2
    assert '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1' in rev2
