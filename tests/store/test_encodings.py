"""Bodies that are kept decoded come back as the octets that they were, whatever those are."""

from __future__ import annotations

import base64
import binascii
import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailwright.store.blobs import encodings
from mailwright.store.blobs.api import CHUNK
from mailwright.store.blobs.encodings import shorten

TEXT = "Grüße aus Köln, 你好。 ".encode() * 40
BASE64 = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
QUOTED = b"content-transfer-encoding:Quoted-Printable\r\nContent-Type: text/plain\r\n\r\n"


def restore(form: bytes) -> bytes:
    return b"".join(encodings.restore(form))


def encoded(data: bytes, line: int = 76, end: bytes = b"\r\n") -> bytes:
    text = base64.b64encode(data)
    return end.join(text[n : n + line] for n in range(0, len(text), line))


def quoted(data: bytes) -> bytes:
    return binascii.b2a_qp(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def multipart(*parts: bytes) -> bytes:
    return (
        b"MIME-Version: 1.0\r\n\r\n" + b"".join(b"--=_x\r\n%b\r\n" % part for part in parts) + b"--=_x--\r\n"
    )


@pytest.mark.parametrize("line", [4, 60, 64, 72, 76, 100, 996])
@pytest.mark.parametrize("size", [30, 57, 58, 59, 570, 10_000])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n"])
def test_base64_is_kept_decoded(line: int, size: int, end: bytes) -> None:
    data = (TEXT * 20)[:size]
    content = BASE64 + encoded(data, line) + end
    form = shorten(content)
    assert form is not None
    assert data in form
    assert restore(form) == content


def test_quoted_printable_is_kept_decoded() -> None:
    content = QUOTED + quoted(TEXT + b"\r\n\r\na = b\r\n.\r\nend \r\n")
    form = shorten(content)
    assert form is not None
    assert TEXT in form
    assert restore(form) == content


def test_each_part_that_can_be_is_decoded() -> None:
    inner = multipart(BASE64 + encoded(TEXT), b"Content-Transfer-Encoding: 7bit\r\n\r\nplain\r\n")
    content = multipart(QUOTED + quoted(TEXT), BASE64 + encoded(TEXT[::-1]), BASE64 + b"no base64!", inner)
    form = shorten(content)
    assert form is not None
    assert form.count(TEXT) == 2
    assert TEXT[::-1] in form
    assert len(form) < len(content) - 1000
    assert restore(form) == content


@pytest.mark.parametrize(
    "body",
    [
        encoded(TEXT, end=b"\n"),  # LF alone
        encoded(TEXT, 77),  # lines that are no multiple of four
        encoded(TEXT).rstrip(b"=")[:-1],  # no padding
        encoded(TEXT).replace(b"\r\n", b" \r\n"),  # spaces at the ends of lines
        encoded(TEXT)[:76] + b"\r\n\r\n" + encoded(TEXT)[78:],  # an empty line
        encoded(TEXT[:57])
        + b"\r\n"
        + encoded(TEXT[:50])
        + b"\r\n"
        + encoded(TEXT[:57]),  # a short line within
        encoded(TEXT[:56]) + b"\r\n" + encoded(TEXT),  # padding within
        encoded(TEXT)[:-4] + b"AB==",  # bits that mean nothing are set
        b"\\u0041" * 30,
        b'"' * 76,
        b"",
    ],
)
def test_base64_that_is_not_regular_stays(body: bytes) -> None:
    content = BASE64 + body + b"\r\n"
    form = shorten(content)
    assert form is None or restore(form) == content


@pytest.mark.parametrize(
    "body", [b"=e4=bd=a0" * 10, b"a=20" * 20, b"x" * 100 + b"=\r\ny", b"=3D\n" * 20, b"=" * 60]
)
def test_quoted_printable_of_another_kind_stays(body: bytes) -> None:
    assert shorten(QUOTED + body + b"\r\n") is None


def test_a_body_that_runs_over_chunks() -> None:
    content = multipart(BASE64 + encoded(TEXT * 400), QUOTED + quoted(TEXT))
    for shift in range(0, 160, 7):  # a border at each place of a line
        cut = CHUNK - shift
        chunks = [content[:cut], content[cut : 2 * cut], content[2 * cut :]]
        forms = [shorten(chunk) for chunk in chunks]
        assert [restore(form) for form in forms if form] == chunks
        assert sum(len(form) for form in forms if form) < 0.78 * len(content)


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [BASE64, QUOTED, BASE64.lower(), b"\r\n", b"\r\n\r\n", b"\r\n--=_x\r\n", b"=\r\n", b"\n", b" ", b"="]
    ),
    st.builds(
        encoded, st.binary(max_size=300), st.sampled_from([4, 40, 76, 77]), st.sampled_from([b"\r\n", b"\n"])
    ),
    st.builds(quoted, st.binary(max_size=200)),
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
@example(b"")
@example(BASE64)
@example(b"\r\n" + encoded(TEXT))
@example(b"\r\n" + encoded(TEXT) + b"\r\n" + BASE64 + encoded(TEXT))
@example(QUOTED + quoted(b"a\r" * 50 + b"\xff\r\n\r"))
def test_any_octets_come_back(content: bytes) -> None:
    form = shorten(content)
    assert form is None or restore(form) == content


@given(st.binary(max_size=300))
@example(b"\x00\x04\x93\x05\x4c\x40abc")
@example(b"\x00\x03\x92\x05\x4cabc")
def test_damage_is_told_or_gives_other_octets(form: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(restore(form)) >= 0


@pytest.mark.parametrize(
    "unit",
    [
        BASE64,
        BASE64 + b"AAAA\r\n",
        QUOTED + b"=3D=\r\n",
        QUOTED + b"=\r\n--",
        b"\r\n\r\n",
        BASE64 + b"A" * 76 + b"\r\n",
    ],
)
def test_hostile_chunks_take_no_more_time_than_others(unit: bytes) -> None:
    content = (unit * (CHUNK // len(unit)))[:CHUNK]
    before = time.process_time()
    form = shorten(content)
    assert time.process_time() - before < 2  # quadratic it would be minutes
    assert form is None or restore(form) == content


def test_the_short_form_stays_as_it_is() -> None:
    """What is stored must be readable for ever."""
    greeting, text = b"Hello, world. " * 5, "Grüße ".encode() * 8
    content = multipart(BASE64 + encoded(greeting, 64), QUOTED + quoted(text))
    form = (
        b"\x00\x07\x96[@FQ\x00@"
        b"MIME-Version: 1.0\r\n\r\n--=_x\r\n" + BASE64 + greeting + b"\r\n--=_x\r\n" + QUOTED + text
    ) + b"\r\n--=_x--\r\n"
    assert shorten(content) == form
    assert restore(form) == content


@pytest.mark.parametrize("wanted", [0, 1, 100, 300, 2000, 2500, 5000, 10_000_000])
def test_the_beginning_can_be_had_alone(wanted: int) -> None:
    content = multipart(QUOTED + quoted(TEXT), BASE64 + encoded(TEXT[::-1]), BASE64 + encoded(TEXT))
    form = shorten(content)
    assert form is not None
    found = b"".join(encodings.restore(form, wanted))
    assert content.startswith(found)
    assert len(found) >= min(wanted, len(content))


def test_what_is_not_wanted_is_not_encoded() -> None:
    header = BASE64.replace(b"\r\n\r\n", b"\r\nX-Number: 1\r\n\r\n")
    form = shorten(header + encoded(TEXT))
    assert form is not None
    assert b"".join(encodings.restore(form, len(header))) == header
