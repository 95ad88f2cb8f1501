"""Verifying: the RFCs' examples, every way to fail, and hostile fields."""

from __future__ import annotations

import base64
import time

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.dns.mock import MockResolver
from mailwright.mailauth.dkim.canonical import (
    BodyHasher,
    canonical_field,
    canonical_headers,
    group_fields,
    split_fields,
)
from mailwright.mailauth.dkim.key import dump_private_key, generate_key, load_private_key, record_text
from mailwright.mailauth.dkim.record import parse_key_record
from mailwright.mailauth.dkim.sign import Signer, sign
from mailwright.mailauth.dkim.signature import parse_signature
from mailwright.mailauth.dkim.tags import InvalidTags, parse_tags
from mailwright.mailauth.dkim.verify import Verification, Verifier

NOW = 1_700_000_000.0
RSA = Signer("example.org", "r1", generate_key("rsa-sha256"))
ED25519 = Signer("example.org", "e1", generate_key("ed25519-sha256"))
RSA_NAME = "r1._domainkey.example.org"
HEADERS = b"From: anna@example.org\r\nTo: bob@example.net\r\nSubject: hello\r\n"
BODY = b"Hello Bob.\r\n"

RFC_8463_MESSAGE = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    b" subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    b" date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    b" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    b" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    b"\r\n"
    b"Hi.\r\n"
    b"\r\n"
    b"We lost the game.  Are you hungry yet?\r\n"
    b"\r\n"
    b"Joe.\r\n"
    b"\r\n"
)
RFC_8463_RSA_RECORD = (
    b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16"
    b"JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l"
    b"/K4w3QIDAQAB"
)
RFC_8463_RSA_KEY = b"""-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
RFC_6376_MESSAGE = (
    b"DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
    b"      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
    b"      h=Received : From : To : Subject : Date : Message-ID;\r\n"
    b"      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b"      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
    b"        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
    b"        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
    b"        4bmp/YzhwvcubU4=;\r\n"
    b"Received: from client1.football.example.com  [192.0.2.1]\r\n"
    b"      by submitserver.example.com with SUBMISSION;\r\n"
    b"      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n"
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    b"\r\n"
    b"Hi.\r\n"
    b"\r\n"
    b"We lost the game. Are you hungry yet?\r\n"
    b"\r\n"
    b"Joe.\r\n"
)
RFC_6376_RECORD = (
    b"v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4j"
    b"YfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QID"
    b"AQAB"
)


def resolver(**records: bytes) -> MockResolver:
    """Our two keys, and others by selector at example.org."""
    zone = {
        RSA_NAME: {"TXT": [record_text(RSA._key).encode()]},
        "e1._domainkey.example.org": {"TXT": [record_text(ED25519._key).encode()]},
        "brisbane._domainkey.football.example.com": {
            "TXT": [b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]
        },
        "test._domainkey.football.example.com": {"TXT": [RFC_8463_RSA_RECORD]},
        "brisbane._domainkey.example.com": {"TXT": [RFC_6376_RECORD]},
    }
    for selector, text in records.items():
        zone[f"{selector}._domainkey.example.org"] = {"TXT": [text]}
    return MockResolver(zone)


async def verify(message: bytes, keys: MockResolver | None = None, now: float = NOW) -> list[Verification]:
    headers, _, body = message.partition(b"\r\n\r\n")
    verifier = Verifier(headers + b"\r\n")
    for start in range(0, len(body), 7):
        verifier.update(body[start : start + 7])
    return list(await verifier.verify(keys or resolver(), now))


def digest(body: bytes = BODY) -> bytes:
    hasher = BodyHasher()
    hasher.update(body)
    return hasher.digest()


def message(*signers: Signer, headers: bytes = HEADERS, body: bytes = BODY, **options: object) -> bytes:
    return sign(headers, digest(body), signers, **options) + headers + b"\r\n" + body  # type: ignore[arg-type]


async def test_rfc_8463_a_3() -> None:
    first, second = await verify(RFC_8463_MESSAGE)
    assert (first.result, first.algorithm, first.domain) == ("pass", "ed25519-sha256", "football.example.com")
    assert first.signature_start == "/gCrinpc"
    assert (second.result, second.algorithm, second.key_bits) == ("pass", "rsa-sha256", 1024)


async def test_rfc_6376_a_2() -> None:
    (only,) = await verify(RFC_6376_MESSAGE)
    assert (only.result, only.identity) == ("pass", "joe@football.example.com")


def test_signing_the_rfc_8463_example_gives_its_signatures() -> None:
    secret = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    ed25519_pem = (
        b"-----BEGIN PRIVATE KEY-----\n"
        + base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + secret)
        + b"\n-----END PRIVATE KEY-----\n"
    )
    by_name = group_fields(split_fields(RFC_8463_MESSAGE))
    for field, pem in zip(by_name[b"dkim-signature"], (ed25519_pem, RFC_8463_RSA_KEY), strict=True):
        signature = parse_signature(field)
        data = canonical_headers(by_name, list(signature.names), "relaxed")
        data += canonical_field(signature.unsigned, "relaxed")
        signer = Signer.from_pem(signature.domain, signature.selector, pem)
        assert signer.algorithm == signature.algorithm
        assert signer.sign_octets(data) == signature.value


async def test_what_we_sign_verifies_and_every_change_shows() -> None:
    good = message(RSA, ED25519, timestamp=int(NOW), expiration=int(NOW) + 60)
    assert [one.result for one in await verify(good)] == ["pass", "pass"]
    changes = {
        good.replace(b"Hello Bob", b"Hello bob"): "the body was changed",
        good.replace(b"Subject: hello", b"Subject: Hello"): "the header was changed",
        b"Reply-To: eve@example.com\r\n" + good: "the header was changed",
        b"From: eve@example.com\r\n" + good: "the header was changed",
        good.replace(b"t=1700000000", b"t=1700000001"): "the header was changed",
        good + b"P.S. pay Eve\r\n": "the body was changed",
    }
    for changed, reason in changes.items():
        assert changed != good
        for one in await verify(changed):
            assert (one.result, one.reason[: len(reason)]) == ("fail", reason)
    # White space may change under relaxed, and trace fields come in front.
    kept = b"Received: x\r\n" + good.replace(b"To: bob", b"TO:\r\n  bob").replace(
        b"Hello Bob.", b"Hello  Bob. "
    )
    assert [one.result for one in await verify(kept)] == ["pass", "pass"]


async def test_dkimpys_signatures_verify() -> None:
    for way in (b"simple", b"relaxed"):
        field = dkim.sign(
            HEADERS + b"\r\n" + BODY,
            b"r1",
            b"example.org",
            dump_private_key(RSA._key),
            canonicalize=(way, way),
            length=True,
        )
        (only,) = await verify(field + HEADERS + b"\r\n" + BODY)
        assert (only.result, only.unsigned_octets) == ("pass", 0)
        (only,) = await verify(field + HEADERS + b"\r\n" + BODY + b"an advertisement\r\n")
        assert (only.result, only.unsigned_octets) == ("pass", 18)
        (only,) = await verify(field + HEADERS + b"\r\n" + BODY[:-4] + b"\r\n")
        assert (only.result, only.reason) == ("fail", "the body is shorter than l= says")


async def test_expiry_has_a_grace_for_clocks() -> None:
    good = message(RSA, expiration=int(NOW))
    assert (await verify(good, now=NOW + 299))[0].result == "pass"
    late = (await verify(good, now=NOW + 301))[0]
    assert (late.result, late.reason) == ("policy", "the signature has expired")


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        (b"v=DKIM1; p=", "permerror", "the key was revoked"),
        (b"v=DKIM2; p=MII", "permerror", "malformed: v= is not DKIM1"),
        (b"p=AAAA; v=DKIM1", "permerror", "malformed: v= is not DKIM1"),
        (b"v=DKIM1; k=rsa", "permerror", "malformed: p= is missing"),
        (b"v=DKIM1; p=!!", "permerror", "malformed: p= is not base64"),
        (b"v=DKIM1; p=AAAA", "permerror", "malformed: p= is no rsa key"),
        (b"v=DKIM1; k=dsa; p=AAAA", "permerror", "malformed: p= is no key of kind 'dsa'"),
        (b"v=DKIM1; p=AAAA; p=AAAA", "permerror", "malformed: tag p= occurs twice"),
        (b"some text", "permerror", "malformed: 'some text' is not a tag"),
        (b"\xff\xfe=1", "permerror", "malformed"),
        (b"v=DKIM1; h=sha1; p=@", "permerror", "the key is not for sha256"),
        (b"v=DKIM1; s=tlsrpt; p=@", "permerror", "the key is not for email"),
        (b"v=DKIM1; t=y:s; p=@", "pass", ""),
        (b"v=DKIM1;h = sha256:sha1 ; g=; n=note; s=other:*; p= @ ;", "pass", ""),
    ],
)
async def test_key_records(record: bytes, result: str, reason: str) -> None:
    key = record_text(RSA._key).encode().partition(b"p=")[2]
    (only,) = await verify(message(RSA), resolver(r1=record.replace(b"@", key)))
    assert only.result == result
    assert reason in only.reason
    assert only.is_testing == (b"t=y" in record)


async def test_missing_keys_and_silent_servers() -> None:
    (only,) = await verify(message(RSA), MockResolver())
    assert (only.result, only.reason) == ("permerror", f"no key at {RSA_NAME}")
    (only,) = await verify(message(RSA), MockResolver(failing=[RSA_NAME]))
    assert only.result == "temperror"


async def test_one_of_several_keys_at_a_selector_is_enough() -> None:
    other = record_text(generate_key("ed25519-sha256")).encode()
    keys = resolver(r1=other)
    keys.add(RSA_NAME, "TXT", record_text(RSA._key).encode())
    assert (await verify(message(RSA), keys))[0].result == "pass"
    (only,) = await verify(message(RSA), resolver(r1=other))
    assert (only.result, only.reason) == ("permerror", "the key is for ed25519")


async def test_weak_keys_are_not_accepted() -> None:
    weak = generate_key("rsa-sha256", rsa_bits=1024)
    verifier = Verifier(
        sign(HEADERS, digest(), [Signer("example.org", "w", weak)]) + HEADERS, min_rsa_bits=2048
    )
    verifier.update(BODY)
    (only,) = await verifier.verify(resolver(w=record_text(weak).encode()), NOW)
    assert (only.result, only.reason, only.key_bits) == ("policy", "a key of 1024 bits is not accepted", 1024)


@pytest.mark.parametrize(
    ("old", "new", "result", "reason"),
    [
        (b"v=1;", b"", "permerror", "v= is missing"),
        (b"v=1;", b"v=2;", "neutral", "v= is not 1"),
        (b"s=r1;", b"", "permerror", "s= is missing"),
        (b"a=rsa-sha256", b"a=rsa-sha1", "policy", "rsa-sha1 is not accepted"),
        (b"a=rsa-sha256", b"a=rot13", "neutral", "a= is unknown"),
        (b"a=rsa-sha256", b"a=ed25519-sha256", "permerror", "the key is for rsa"),
        (b"c=relaxed/relaxed", b"c=relaxed/strict", "neutral", "c= names"),
        (b"d=example.org", b"d=-", "neutral", "d= is not a domain name"),
        (b"d=example.org", b"d=example.org; i=x@example.com", "permerror", "i= is not within d="),
        (b"d=example.org", b"d=example.org; i=x@badexample.org", "permerror", "i= is not within d="),
        (b"d=example.org", b"d=example.org; i=@", "neutral", "i= is not a domain name"),
        (b"d=example.org", b"d=example.org; q=http", "neutral", "q= names no known way"),
        (b"d=example.org", b"d=example.org; d=example.org", "neutral", "occurs twice"),
        (b"d=example.org", b"d=example.org; t=9; x=8", "neutral", "x= is before t="),
        (b"d=example.org", b"d=example.org; l=x", "neutral", "l= is not a number"),
        (b"d=example.org", b"d=example.org; l=" + b"9" * 76, "neutral", "l= is not a number"),
        (b"h=From:From:", b"h=", "permerror", "From is not signed"),
        (b"bh=", b"bh=!", "neutral", "bh= is not base64"),
        (b"v=1;", b"v=1; nonsense;", "neutral", "'nonsense' is not a tag"),
    ],
)
async def test_faulty_signatures(old: bytes, new: bytes, result: str, reason: str) -> None:
    good = message(RSA)
    assert old in good
    (only,) = await verify(good.replace(old, new, 1))
    assert only.result == result
    assert reason in only.reason


async def test_identity_below_the_domain_unless_the_key_is_strict() -> None:
    signer = Signer("example.org", "r1", RSA._key, identity="news@lists.example.org")
    (only,) = await verify(message(signer))
    assert (only.result, only.identity) == ("pass", "news@lists.example.org")
    strict = record_text(RSA._key).replace("v=DKIM1;", "v=DKIM1; t=s;").encode()
    (only,) = await verify(message(signer), resolver(r1=strict))
    assert (only.result, only.reason) == ("permerror", "i= is below d=, which the key forbids")


async def test_unsigned_mail_has_no_result_and_too_many_signatures_are_not_looked_at() -> None:
    assert await verify(HEADERS + b"\r\n" + BODY) == []
    keys = resolver()
    results = await verify(b"DKIM-Signature: v=1; a=x\r\n" * 500 + message(RSA), keys)
    assert [one.result for one in results] == ["permerror"] * 10
    assert keys.queries == []


async def test_a_hostile_header_costs_linear_time() -> None:
    fields = {
        "names": b"DKIM-Signature: v=1;a=rsa-sha256;d=example.org;s=r1;b=;bh=;h="
        + b"from:" * 200_000
        + b"x\r\n",
        "blanks": b"DKIM-Signature: v=1;" + b" " * 1_000_000 + b"b\r\n",
        "semicolons": b"DKIM-Signature: " + b"; " * 500_000 + b"\r\n",
        "tags": b"DKIM-Signature: " + b"".join(b"t%d=;" % index for index in range(100_000)) + b"\r\n",
        "lines": b"DKIM-Signature: v=1" + b"\r\n\t" * 300_000 + b"\r\n",
        "fields": b"To: a\r\n" * 100_000,
    }
    for name, field in fields.items():
        started = time.process_time()
        await verify(field + message(RSA))
        assert time.process_time() - started < 2.0, name


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text("v=1;abdhsiqtlx:@. \t\r\n\xe9", max_size=100).map(str.encode))
async def test_any_signature_field_gets_a_word(value: bytes) -> None:
    for one in await verify(b"DKIM-Signature:" + value + b"\r\n" + HEADERS + b"\r\n" + BODY):
        assert one.result in {"fail", "policy", "neutral", "permerror"}
        assert one.reason


tag_text = st.sampled_from(
    [b"v=DKIM1", b"p=", b"k=rsa", b"k=ed25519", b"h=", b"t=s:y", b";", b"=", b" ", b"\xc3", b"MA=="]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(tag_text | st.binary(max_size=20), max_size=12).map(b"".join))
def test_any_record_is_a_key_or_invalid(text: bytes) -> None:
    try:
        record = parse_key_record(text)
    except InvalidTags:
        return
    assert record.kind
    assert "p" in parse_tags(text)


def test_private_keys_of_the_rfc_load() -> None:
    assert record_text(load_private_key(RFC_8463_RSA_KEY)).encode() == RFC_8463_RSA_RECORD
