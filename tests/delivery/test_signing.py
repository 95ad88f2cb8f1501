"""Signatures over a message that was changed on its way: ours are made anew, others' are left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailwright.delivery.signing import KeyRing
from mailwright.dns.mock import MockResolver
from mailwright.mailauth.dkim.key import dump_private_key, generate_key, record_text
from mailwright.mailauth.dkim.verify import Verifier
from mailwright.queue.convert import to_7bit

NOW = 1_700_000_000.0
OTHERS = b"DKIM-Signature: v=1; a=rsa-sha256; d=list.example; s=x; h=from; bh=YQ==; b=YQ==\r\n"
BROKEN = b"DKIM-Signature: no tags at all\r\n"
MESSAGE = (
    b"Received: from a\r\n" + OTHERS + BROKEN + b"From: Alice <alice@example.org>\r\nSubject: hi\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
) + "Grüße\r\n".encode()


def ring(folder: Path) -> tuple[KeyRing, MockResolver]:
    (folder / "example.org").mkdir()
    key = generate_key("ed25519-sha256")
    (folder / "example.org" / "e1.pem").write_bytes(dump_private_key(key))
    resolver = MockResolver({"e1._domainkey.example.org": {"TXT": [record_text(key).encode()]}})
    return KeyRing(folder), resolver


def signatures(content: bytes) -> list[bytes]:
    return re.findall(rb"\bd=([^;]+);", content.partition(b"\r\n\r\n")[0])


async def results(content: bytes, resolver: MockResolver) -> dict[str, str]:
    header, _, body = content.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n")
    verifier.update(body)
    return {found.domain: found.result for found in await verifier.verify(resolver, NOW)}


@pytest.mark.parametrize("front", [b"", b"Delivered-To: an-alias@example.org\r\n"])
async def test_our_broken_signature_is_replaced(tmp_path: Path, front: bytes) -> None:
    keys, resolver = ring(tmp_path)
    signed = front + keys.sign_message(MESSAGE, NOW) + MESSAGE
    converted = to_7bit(signed)
    assert converted != signed
    again = keys.sign_again(converted, NOW)
    assert sorted(signatures(again)) == [b"example.org", b"list.example"]
    assert BROKEN in again
    assert (await results(signed, resolver))["example.org"] == "pass"
    assert (await results(converted, resolver))["example.org"] == "fail"
    assert (await results(again, resolver))["example.org"] == "pass"


async def test_reports_of_the_server_are_signed_by_the_domain_above_its_name(tmp_path: Path) -> None:
    keys, resolver = ring(tmp_path)
    report = b"From: mailer-daemon@mx.example.org\r\nSubject: Not delivered\r\n\r\nsorry\r\n"
    assert await results(keys.sign_message(report, NOW) + report, resolver) == {"example.org": "pass"}
    assert keys.sign_message(report.replace(b"example.org", b"elsewhere.example"), NOW) == b""


@pytest.mark.parametrize("claimed", [b"", OTHERS.replace(b"list.example", b"example.org")])
def test_what_was_not_signed_here_for_its_author_is_not_later(tmp_path: Path, claimed: bytes) -> None:
    """Somebody of another domain wrote as alice@example.org, and perhaps a signature of hers too."""
    keys, _ = ring(tmp_path)
    signed_for_the_sender = OTHERS.replace(b"list.example", b"neighbour.example")
    for content in (b"Received: from a\r\n" + claimed + MESSAGE, signed_for_the_sender + claimed + MESSAGE):
        assert keys.sign_again(content, NOW) == content


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "../example.org",
        "example.org/",
        "/tmp",
        "a\0b",
        "x" * 300,
        "example.org.",
        "[127.0.0.1]",
        "ü.example",
    ],
)
def test_a_domain_out_of_a_header_is_no_path(tmp_path: Path, domain: str) -> None:
    keys, _ = ring(tmp_path)
    (tmp_path / "stray.pem").write_bytes((tmp_path / "example.org" / "e1.pem").read_bytes())
    assert keys.signers(domain) == []


def test_what_is_remembered_of_domains_is_bounded(tmp_path: Path) -> None:
    keys, _ = ring(tmp_path)
    for n in range(2500):
        keys.signers(f"d{n}.example")
    assert len(keys._signers) <= 1000
    assert len(keys.signers("example.org")) == 1


def test_without_keys_nothing_is_touched(tmp_path: Path) -> None:
    content = OTHERS.replace(b"list.example", b"other.example") + b"From: x@other.example\r\n\r\nx\r\n"
    assert ring(tmp_path)[0].sign_again(content, NOW) == content


def test_whether_a_domain_has_a_key_is_known_once_its_folder_was_read(tmp_path: Path) -> None:
    keys, _ = ring(tmp_path)
    assert keys.has_key("example.org") is None
    assert keys.has_key("other.example") is None
    keys.signers("example.org")
    keys.signers("other.example")
    assert keys.has_key("example.org") is True
    assert keys.has_key("other.example") is False
    assert KeyRing(tmp_path, enabled=False).has_key("example.org") is False
