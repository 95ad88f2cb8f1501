"""Decoding piece by piece gives what decoding at once gives."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.content import UnknownEncoding, decode_octets
from mailwright.message.decoder import make_decoder

LINES = st.lists(
    st.sampled_from(
        [
            b"aGVsbG8=",
            b"aGVs",
            b"bG8h\r\n",
            b"=",
            b"=\r\n",
            b"=3D",
            b"=C3=BC",
            b" \t",
            b"x",
            b"\n",
            b"!",
            b"A",
        ]
    ),
    max_size=30,
).map(b"".join)


def decode_in_pieces(encoded: bytes, encoding: str, size: int) -> bytes:
    decoder = make_decoder(encoding)
    pieces = [decoder.feed(encoded[at : at + size]) for at in range(0, len(encoded), size)]
    return b"".join(pieces) + decoder.finish()


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
@settings(max_examples=150, deadline=None)
@given(encoded=LINES, size=st.integers(1, 20))
def test_pieces_decode_like_the_whole(encoding: str, encoded: bytes, size: int) -> None:
    assert decode_in_pieces(encoded, encoding, size) == decode_octets(encoded, encoding)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=500), size=st.integers(1, 100))
def test_base64_comes_back(content: bytes, size: int) -> None:
    assert decode_in_pieces(base64.encodebytes(content), "base64", size) == content


def test_pieces_that_were_encoded_apart() -> None:
    assert decode_in_pieces(b"YQ==\r\nYg==\r\nYw", "base64", 3) == b"abc"


def test_a_line_without_end_is_not_kept_waiting() -> None:
    decoder = make_decoder("quoted-printable")
    out = 0
    for _ in range(100):
        out += len(decoder.feed(b"=41" * 10_000 + b"=4"))
        out += len(decoder.feed(b"2"))
    assert out > 100 * 10_000 - 100_000
    assert out + len(decoder.finish()) == 100 * 10_001


@pytest.mark.parametrize("encoding", ["x-uuencode", "x-secret"])
def test_what_rfc_2045_does_not_define(encoding: str) -> None:
    with pytest.raises(UnknownEncoding):
        make_decoder(encoding)
