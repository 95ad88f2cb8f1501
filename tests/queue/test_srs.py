from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.queue.srs import InvalidAddress, Rewriter

NOW = 1_700_000_000.0
DAY = 86_400.0
US = Rewriter("us.example", (b"our secret",))
THEM = Rewriter("them.example", (b"their secret",))

locals_ = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789.=+-_", min_size=1, max_size=30)


def test_a_bounce_finds_its_way_back() -> None:
    path = US.forward("alice@a.example", NOW)
    assert path.startswith("SRS0=")
    assert path.endswith("=a.example=alice@us.example")
    assert US.reverse(path, NOW + 3 * DAY) == "alice@a.example"


def test_the_null_reverse_path_and_our_own_domain_stay() -> None:
    assert US.forward("", NOW) == ""
    assert US.forward("bob@US.example", NOW) == "bob@US.example"


def test_a_second_and_a_third_forwarder_shorten_the_way() -> None:
    first = THEM.forward("alice@a.example", NOW)
    second = US.forward(first, NOW)
    assert second.startswith("SRS1=")
    assert second.endswith("@us.example")
    assert US.reverse(second, NOW) == first
    third = Rewriter("third.example", (b"3",)).forward(second, NOW)
    assert third.startswith("SRS1=")
    assert Rewriter("third.example", (b"3",)).reverse(third, NOW) == first, "straight to the first forwarder"


def test_a_forged_address_is_refused() -> None:
    path = US.forward("alice@a.example", NOW)
    with pytest.raises(InvalidAddress, match="did not make"):
        US.reverse(path.replace("alice", "mallory"), NOW)
    with pytest.raises(InvalidAddress, match="not an SRS"):
        US.reverse(THEM.forward("alice@a.example", NOW), NOW)
    with pytest.raises(InvalidAddress, match="parts missing"):
        US.reverse("SRS0=abc@us.example", NOW)


def test_an_old_address_is_refused_and_a_clock_gone_back_is_not() -> None:
    path = US.forward("alice@a.example", NOW)
    with pytest.raises(InvalidAddress, match="older than 21 days"):
        US.reverse(path, NOW + 22 * DAY)
    assert US.reverse(path, NOW - DAY) == "alice@a.example"


def test_case_may_change_on_the_way() -> None:
    path = US.forward("Alice@a.example", NOW)
    assert US.reverse(path.lower(), NOW) == "alice@a.example"


def test_an_old_secret_is_still_taken() -> None:
    path = US.forward("alice@a.example", NOW)
    assert Rewriter("us.example", (b"new", b"our secret")).reverse(path, NOW) == "alice@a.example"
    with pytest.raises(InvalidAddress):
        Rewriter("us.example", (b"new",)).reverse(path, NOW)


def test_a_secret_is_needed() -> None:
    with pytest.raises(ValueError, match="secret"):
        Rewriter("us.example", ())


@settings(max_examples=150, deadline=None)
@given(locals_, st.floats(0, 4e9))
def test_forward_then_reverse_is_the_identity(local: str, now: float) -> None:
    address = f"{local}@a.example"
    path = US.forward(address, now)
    again = THEM.forward(path, now)
    assert THEM.reverse(again, now) == path or path == address
    if not local.upper().startswith(("SRS0", "SRS1")):
        assert US.reverse(path, now) == address


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_reverse_never_fails_in_another_way(text: str) -> None:
    for address in (f"SRS0={text}@us.example", f"SRS1={text}@us.example", text):
        with pytest.raises(InvalidAddress):
            US.reverse(address, NOW)
