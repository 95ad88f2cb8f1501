"""Which addresses lead back to us."""

from __future__ import annotations

import pytest

from mailwright.net import addresses
from mailwright.net.addresses import Ours, is_local


def test_the_machine_knows_its_own() -> None:
    assert is_local("127.0.0.1")
    assert not is_local("192.0.2.77")
    assert not is_local("2001:db8::77")


def test_where_any_address_can_be_bound_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_can_bind", lambda family, address: True)
    assert not is_local("198.51.100.1")


def test_address_literals_that_stand_for_us() -> None:
    ours = Ours([("127.0.0.1", 2525), ("::1", 25)], ["203.0.113.5", "2001:db8::5"])
    for literal in ("[127.0.0.1]", "[IPv6:::1]", "[203.0.113.5]", "[IPv6:2001:db8::5]"):
        assert ours.names(literal)
    for literal in ("[127.0.0.2]", "[192.0.2.77]", "[IPv6:2001:db8::6]"):
        assert not ours.names(literal)


@pytest.mark.parametrize(
    ("listener", "address", "port", "expected"),
    [
        (("0.0.0.0", 25), "127.0.0.9", 25, True),
        (("0.0.0.0", 25), "0.0.0.0", 25, True),
        (("0.0.0.0", 25), "::ffff:127.0.0.1", 25, True),
        (("0.0.0.0", 25), "127.0.0.1", 26, False),
        (("0.0.0.0", 25), "192.0.2.1", 25, False),
        (("127.0.0.1", 25), "127.0.0.1", 25, True),
        (("127.0.0.1", 25), "127.0.0.2", 25, False),
        (("198.51.100.7", 25), "198.51.100.7", 25, True),
        (("2001:db8:0:0::7", 25), "2001:db8::7", 25, True),
        (("localhost", 25), "127.0.0.1", 25, False),
        (("10.0.0.1", 25), "203.0.113.5", 25, True),
        (("10.0.0.1", 2525), "203.0.113.5", 25, False),
    ],
)
def test_an_address_is_ours_where_we_listen(
    listener: tuple[str, int], address: str, port: int, expected: bool
) -> None:
    assert Ours([listener], ["203.0.113.5"])(address, port) is expected
