"""MTA-STS records, policy files, matching and the life of a cached policy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.mailauth.mtasts.policy import (
    MAX_AGE,
    CachedPolicy,
    InvalidPolicy,
    Policy,
    Step,
    parse_policy,
    plan,
    policy_url,
)
from mailwright.mailauth.mtasts.record import parse_records, record_name

FILE = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\n"
    b"mx: backupmx.example.com\r\nmax_age: 604800\r\n"
)  # RFC 8461 3.2


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),  # RFC 8461 3.1
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1 ; future=a-b ; id=1 ;"], "1"),
        ([b"v=spf1 -all", b"v=STSv1; id=a", b"v=STSv10; id=b"], "a"),
        ([b"v=STSv1; id=a", b"v=STSv1; id=b"], None),
        ([b"v=STSv1"], None),
        ([b"v=STSv1;"], None),
        ([b"v=STSv1; id="], None),
        ([b"v=STSv1; id=a-b"], None),
        ([b"v=STSv1; id=" + b"9" * 33], None),
        ([b"v=STSv1; id=1; ; x=1"], None),
        ([b"v=STSv1; id=\xff"], None),
        ([b"V=STSv1; id=1"], None),
        ([b" v=STSv1; id=1"], None),
        ([], None),
    ],
)
def test_records(texts: list[bytes], found: str | None) -> None:
    assert parse_records(texts) == found


def test_where_to_look() -> None:
    assert record_name("example.com") == "_mta-sts.example.com"
    assert policy_url("example.com") == "https://mta-sts.example.com/.well-known/mta-sts.txt"


def test_a_policy_file() -> None:
    policy = parse_policy(FILE)
    assert policy == Policy("enforce", 604_800, ("mail.example.com", "*.example.net", "backupmx.example.com"))
    assert parse_policy("\n".join(policy.lines()).encode()) == policy
    assert parse_policy(FILE.replace(b"\r\n", b"\n").rstrip()) == policy


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("mx1.example.net", True),
        ("example.net", False),
        ("a.b.example.net", False),
        ("*.example.net", True),  # no host has this name
        ("mail.example.com.evil.example", False),
        ("", False),
        (".", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    assert parse_policy(FILE).allows(host) == allowed


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "version"),
        (b"<html>not found</html>", "version"),
        (FILE.replace(b"STSv1", b"STSv2"), "version"),
        (FILE.replace(b"enforce", b"Enforce"), "mode"),
        (FILE.replace(b"mode", b"node"), "mode"),
        (FILE.replace(b"604800", b"-1"), "max_age"),
        (FILE.replace(b"604800", b"12345678901"), "max_age"),
        (FILE.replace(b"604800", "٣".encode()), "max_age"),
        (FILE.replace(b"mx:", b"host:"), "no mx"),
        (b"version: STSv1\nmode: testing\nmx: *.*.com\nmx: a..b\nmax_age: 1\n", "no mx"),
        (FILE + b"x" * 65536, "larger"),
    ],
)
def test_what_is_no_policy(data: bytes, said: str) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        parse_policy(data)


def test_what_a_policy_forgives() -> None:
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 99999999\n") == Policy("none", MAX_AGE, ())
    odd = b"max_age:9\nmax_age:1\nmx :*.b\xc3\xbccher.example\nx\nnew: 1: 2\nmx: \xff\nmode:testing\nversion:STSv1"
    assert parse_policy(odd) == Policy("testing", 9, ("*.xn--bcher-kva.example",))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.lists(st.sampled_from(FILE.split(b"\r\n")) | st.binary()).map(b"\n".join))
def test_any_file_is_a_policy_or_invalid(data: bytes) -> None:
    parse_records([data, b"v=STSv1;" + data])
    try:
        policy = parse_policy(data)
    except InvalidPolicy:
        return
    assert 0 <= policy.max_age <= MAX_AGE
    assert policy.mx or policy.mode == "none"


def test_the_life_of_a_policy() -> None:
    day = 86_400.0
    cached = CachedPolicy(Policy("enforce", 7 * 86_400, ("mx.example.com",)), "1", fetched_at=0.0)
    assert plan(None, None, 0.0) is Step.NOTHING
    assert plan(None, "1", 0.0) is Step.FETCH
    assert plan(cached, "1", 60.0) is Step.USE
    assert plan(cached, "2", 60.0) is Step.FETCH
    assert plan(cached, "1", day + 1) is Step.FETCH  # refreshed daily, long before it ends
    assert plan(cached, None, 6 * day) is Step.USE  # a record that is gone ends nothing
    assert cached.is_live(7 * day - 1)
    assert not cached.is_live(7 * day)
    assert plan(cached, None, 7 * day) is Step.NOTHING
    assert plan(cached, "1", 7 * day) is Step.FETCH
