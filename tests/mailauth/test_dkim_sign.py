"""Canonicalization and signing, against the RFCs' examples and dkimpy."""

from __future__ import annotations

import base64
import hashlib
import time
from types import SimpleNamespace

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.mailauth.dkim.canonical import BodyHasher, canonical_field, field_name, split_fields
from mailwright.mailauth.dkim.key import (
    InvalidKey,
    dump_private_key,
    generate_key,
    load_private_key,
    record_strings,
    record_text,
    zone_line,
)
from mailwright.mailauth.dkim.sign import Signer, sign

RSA = Signer("example.org", "r1", generate_key("rsa-sha256"))
ED25519 = Signer("example.org", "e1", generate_key("ed25519-sha256"))

HEADERS = (
    b"Received: from a\r\n\tby b; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"From: Anna <anna@example.org>\r\n"
    b"To: bob@example.net,\r\n  carol@example.net\r\n"
    b"Subject:  two\t words \r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"List-Unsubscribe: <https://example.org/u>\r\n"
)
BODY = b"Hello,  Bob \r\n\r\n\tsee you\t.\r\n\r\n\r\n"


def body_hash(body: bytes, canonicalization: str = "relaxed", step: int = 0) -> bytes:
    hasher = BodyHasher(canonicalization)
    for start in range(0, len(body), step or len(body) or 1):
        hasher.update(body[start : start + (step or len(body))])
    return hasher.digest()


def signed(headers: bytes, body: bytes, *signers: Signer, **options: object) -> bytes:
    canonicalization = str(options.get("body_canonicalization", "relaxed"))
    digest = body_hash(body, canonicalization)
    fields = sign(headers, digest, signers, **options)  # type: ignore[arg-type]
    return fields + headers + b"\r\n" + body


class VerifyKey:
    """PyNaCl's class of this name as dkimpy uses it, over the library that we have."""

    def __init__(self, text: bytes, encoder: object) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text))

    def verify(self, digest: bytes, signature: bytes) -> None:
        self._key.verify(signature, digest)


@pytest.fixture(autouse=True)
def _nacl(monkeypatch: pytest.MonkeyPatch) -> None:
    nacl = SimpleNamespace(
        signing=SimpleNamespace(VerifyKey=VerifyKey),
        encoding=SimpleNamespace(Base64Encoder=None),
        exceptions=SimpleNamespace(ValueError=ValueError, BadSignatureError=InvalidSignature),
    )
    monkeypatch.setattr(dkim, "nacl", nacl, raising=False)


def dkimpy_accepts(message: bytes, index: int) -> bool:
    texts = {
        b"r1._domainkey.example.org.": record_text(RSA._key).encode(),
        b"e1._domainkey.example.org.": record_text(ED25519._key).encode(),
    }
    try:
        return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=lambda name, timeout=5: texts[name]))
    except dkim.ValidationError:  # what it says to a wrong body hash
        return False


body_octets = st.lists(
    st.sampled_from(
        [b"a", b"\xe4", b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b" \r\n", b"\x0b"]
    )
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(body_octets, st.integers(1, 9))
def test_the_body_hash_is_dkimpys_whatever_the_chunks(body: bytes, step: int) -> None:
    body += b"\r\n"
    for name, oracle in (("relaxed", Relaxed), ("simple", Simple)):
        expected = hashlib.sha256(oracle.canonicalize_body(body)).digest()
        assert body_hash(body, name) == expected
        assert body_hash(body, name, step) == expected


@pytest.mark.parametrize(
    ("body", "relaxed", "simple"),
    [
        (b"", b"", b"\r\n"),
        (b"\r\n\r\n", b"", b"\r\n"),
        (b" \t\r\n \r\n", b"", b" \t\r\n \r\n"),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n", b" C \r\nD \t E\r\n"),  # RFC 6376 3.4.5
        (b"no line end", b"no line end\r\n", b"no line end\r\n"),
        (b"no line end \t", b"no line end\r\n", b"no line end \t\r\n"),
        (b" ", b"", b" \r\n"),
        (b"bare\r", b"bare\r\r\n", b"bare\r\r\n"),
        (b"bare \n\r\n", b"bare \n\r\n", b"bare \n\r\n"),
    ],
)
def test_bodies_are_closed_by_one_crlf(body: bytes, relaxed: bytes, simple: bytes) -> None:
    for step in (0, 1):
        assert body_hash(body, "relaxed", step) == hashlib.sha256(relaxed).digest()
        assert body_hash(body, "simple", step) == hashlib.sha256(simple).digest()


@pytest.mark.parametrize(
    "unit", [b" ", b"\t ", b"\r\n", b"\n", b"\r", b" \r\n", b"\n\r\n", b"x ", b"\t" * 999 + b"x"]
)
def test_hostile_bodies_cost_linear_time_and_no_memory(unit: bytes) -> None:
    hasher = BodyHasher()
    chunk = (unit * (65536 // len(unit) + 1))[:65536]
    started = time.process_time()
    for _ in range(32):
        hasher.update(chunk)
        assert len(hasher._held) <= 2
    hasher.digest()
    assert time.process_time() - started < 1.0  # 2 MB


def test_length_bounds_what_is_hashed() -> None:
    hasher = BodyHasher("simple", 5)
    hasher.update(b"one\r\ntwo\r\n")
    assert hasher.digest() == hashlib.sha256(b"one\r\n").digest()
    assert hasher.size == 10


def test_fields_are_canonical_as_rfc_6376_3_4_5() -> None:
    fields = split_fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\nbody: no\r\n")
    assert fields == [b"A: X", b"B : Y\t\r\n\tZ  "]
    assert [canonical_field(field, "relaxed") for field in fields] == [b"a:X", b"b:Y Z"]
    assert [canonical_field(field, "simple") for field in fields] == fields
    assert [field_name(field) for field in fields] == [b"a", b"b"]
    assert split_fields(b"") == split_fields(b"\r\nA: in the body\r\n") == []


@pytest.mark.parametrize("canonicalization", ["relaxed", "simple"])
def test_both_signatures_verify_elsewhere(canonicalization: str) -> None:
    message = signed(
        HEADERS,
        BODY,
        RSA,
        ED25519,
        timestamp=1_700_000_000,
        canonicalization=canonicalization,
        body_canonicalization=canonicalization,
    )
    assert dkimpy_accepts(message, 0)
    assert dkimpy_accepts(message, 1)
    assert not dkimpy_accepts(message.replace(b"see you", b"See you"), 0)
    assert not dkimpy_accepts(b"Subject: another\r\n" + message, 1)


field_text = st.text(st.characters(codec="ascii", exclude_characters="\r\n\x00"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["From", "TO", "subject", "X-Any", "References", "Cc"]), field_text),
        max_size=8,
    ),
    body_octets,
)
def test_any_header_section_signs(fields: list[tuple[str, str]], body: bytes) -> None:
    # dkimpy takes form feeds for white space and a bare LF for a line end; here they are but octets.
    headers = b"From: a@example.org\r\n" + b"".join(
        f"{name}: {text.translate({11: 32, 12: 32, 28: 32, 29: 32, 30: 32, 31: 32})}\r\n".encode()
        for name, text in fields
    )
    body = (
        body.replace(b"\r\n", b"\x00").replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"\r\n")
        + b"\r\n"
    )
    message = signed(headers, body, ED25519)
    assert dkimpy_accepts(message, 0)


def test_the_field_is_folded_and_tells_its_tags() -> None:
    field = sign(HEADERS, body_hash(BODY), [RSA], timestamp=1_700_000_000, expiration=1_700_600_000)
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert max(map(len, lines)) <= 78
    assert all(line[:1] == b"\t" for line in lines[1:])
    text = b"".join(field.split())
    assert text.startswith(
        b"DKIM-Signature:v=1;a=rsa-sha256;c=relaxed/relaxed;d=example.org;s=r1;t=1700000000;x="
    )
    names = text.partition(b";h=")[2].partition(b";")[0].decode().split(":")
    assert names.count("From") == 2  # signed and oversigned
    assert names.count("Reply-To") == 1  # absent, and must stay so
    assert "List-Unsubscribe" in names
    assert "Received" not in names


def test_several_fields_of_a_name_are_all_signed() -> None:
    headers = HEADERS + b"To: second@example.net\r\nReferences: <a>\r\nReferences: <b>\r\n"
    message = signed(headers, BODY, ED25519)
    assert dkimpy_accepts(message, 0)
    assert not dkimpy_accepts(message.replace(b"<a>", b"<c>"), 0)


def test_keys_survive_pem_and_refuse_what_cannot_sign() -> None:
    for signer in (RSA, ED25519):
        again = Signer.from_pem("example.org", "s", dump_private_key(signer._key))
        assert again.sign_octets(b"x") == signer.sign_octets(b"x")
    for junk in (b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(InvalidKey, match="PEM"):
            load_private_key(junk)
    with pytest.raises(InvalidKey, match="no DKIM algorithm"):
        generate_key("dsa")


def test_the_record_fits_txt_strings() -> None:
    text = record_text(RSA._key)
    strings = record_strings(text)
    assert len(strings) == 2
    assert max(map(len, strings)) <= 255
    assert "".join(strings) == text
    assert text.startswith("v=DKIM1; k=rsa; p=MII")
    assert zone_line("example.org", "e1", ED25519._key).startswith(
        'e1._domainkey.example.org. IN TXT ( "v=DKIM1; k=ed25519; p='
    )


def test_ed25519_record_is_the_bare_key_of_rfc_8463() -> None:
    secret = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert record_text(key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
