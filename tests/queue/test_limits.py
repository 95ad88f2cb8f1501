from __future__ import annotations

from mailwright.queue.limits import BreakerLimits, SendingLimits, Usage, check_breaker, check_sending


def test_a_quiet_account_may_send() -> None:
    assert check_sending(SendingLimits(), Usage(), 50) is None
    assert check_breaker(BreakerLimits(), Usage(hour_strangers=50, hour_delivered=50)) is None


def test_each_limit_is_told_by_its_name() -> None:
    limits = SendingLimits(10, 20, 100, 200)
    for usage, recipients, words in (
        (Usage(hour_messages=10), 1, "10 messages an hour"),
        (Usage(day_messages=20), 1, "20 messages a day"),
        (Usage(hour_recipients=95), 6, "100 recipients an hour"),
        (Usage(day_recipients=195), 6, "200 recipients a day"),
    ):
        refusal = check_sending(limits, usage, recipients)
        assert refusal is not None
        assert words in refusal.text
        assert refusal.retry_after > 0


def test_zero_is_no_limit() -> None:
    assert (
        check_sending(SendingLimits(0, 0, 0, 0), Usage(hour_messages=10**6, day_recipients=10**9), 1000)
        is None
    )


def test_many_strangers_hold_a_quiet_account_but_not_a_newsletter() -> None:
    usage = Usage(hour_strangers=400, past_strangers=24, past_hours=48)
    reason = check_breaker(BreakerLimits(), usage)
    assert reason is not None
    assert "400 recipients" in reason
    assert (
        check_breaker(BreakerLimits(), Usage(hour_strangers=400, past_strangers=4800, past_hours=48)) is None
    )


def test_many_refusals_hold_an_account() -> None:
    assert check_breaker(BreakerLimits(), Usage(hour_failed=30, hour_delivered=40)) is not None
    assert check_breaker(BreakerLimits(), Usage(hour_failed=30, hour_delivered=1000)) is None
    assert check_breaker(BreakerLimits(), Usage(hour_failed=5)) is None
