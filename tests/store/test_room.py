"""How much more an account may keep, as messages come in together."""

from __future__ import annotations

from mailwright.store.model import Room


def test_each_message_takes_of_the_room() -> None:
    room = Room(100, 2)
    assert room.takes(100)
    assert not room.takes(101)
    assert room.less(60) == Room(40, 1)
    assert not room.less(60).takes(41)
    assert room.less(60).takes(40)


def test_without_a_quota_all_fits() -> None:
    assert Room(None, None).less(1 << 40).takes(1 << 40)


def test_what_was_let_in_beyond_the_quota_makes_no_room() -> None:
    assert not Room(None, 0).takes(1)
    assert not Room(None, 0).less(1).takes(1)
    assert not Room(0, None).less(1).takes(0)
