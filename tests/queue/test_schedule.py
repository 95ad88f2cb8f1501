from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailwright.queue.schedule import DAY, HOUR, MINUTE, Schedule


def test_the_first_retry_comes_after_minutes_and_the_last_ones_hours_apart() -> None:
    schedule = Schedule(jitter=0.0)
    assert schedule.delay(1, 0.5) == 5 * MINUTE
    assert schedule.delay(5, 0.5) == 1 * HOUR
    assert schedule.delay(100, 0.5) == 4 * HOUR


@given(st.integers(1, 200), st.floats(0, 0.999), st.floats(0, 5 * DAY))
def test_a_retry_lies_ahead_and_never_after_the_expiry(attempts: int, roll: float, age: float) -> None:
    schedule = Schedule()
    now = 1_000_000.0 + age
    expires_at = schedule.expires_at(1_000_000.0)
    at = schedule.retry_at(attempts, now, expires_at, roll)
    if now >= expires_at:
        assert at is None
    else:
        assert at is not None
        assert now < at <= expires_at
        assert at - now <= schedule.delays[-1] * 1.2


@given(st.integers(1, 50), st.floats(0, 0.999), st.floats(0, 0.999))
def test_delays_grow_but_for_the_jitter(attempts: int, one: float, two: float) -> None:
    schedule = Schedule()
    assert schedule.delay(attempts, one) * 1.5 >= schedule.delay(max(1, attempts - 1), two) * 0.9


def test_jitter_spreads_both_ways() -> None:
    schedule = Schedule(jitter=0.2)
    assert schedule.delay(5, 0.0) == pytest.approx(0.8 * HOUR)
    assert schedule.delay(5, 0.999999) == pytest.approx(1.2 * HOUR, rel=1e-3)


def test_the_sender_is_warned_once_after_four_hours_and_told_of_the_end_after_five_days() -> None:
    schedule = Schedule()
    assert schedule.deadline(0.0, 5 * DAY, warned=False) == 4 * HOUR
    assert schedule.deadline(0.0, 5 * DAY, warned=True) == 5 * DAY
    assert Schedule(warn_after=0).deadline(0.0, 5 * DAY, warned=False) == 5 * DAY
    assert schedule.deadline(0.0, 1 * HOUR, warned=False) == 1 * HOUR


def test_a_dead_destination_rests_longer_and_longer_up_to_an_hour() -> None:
    pauses = [Schedule().pause(n) for n in range(1, 12)]
    assert pauses[0] == 60
    assert pauses == sorted(pauses)
    assert pauses[-1] == HOUR
