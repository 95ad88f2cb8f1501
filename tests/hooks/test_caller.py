"""Hooks are asked in order, each within its time, and a bad one is only a line in the log."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailwright.hooks import (
    Client,
    Delivered,
    MessageArrived,
    RecipientGiven,
    Redirect,
    Refuse,
    SenderGiven,
    Tag,
    on,
)
from mailwright.hooks.caller import MAX_TOLD, Hooks
from mailwright.hooks.loader import BadHooks, Hook, load

CLIENT = Client("192.0.2.1", "client.example", "relay")
SENDER = SenderGiven(CLIENT, "eve@elsewhere.example")
MESSAGE = MessageArrived(CLIENT, "eve@e.example", ("bob@b.example",), b"\r\n", 2, lambda: [b"\r\n"])
DELIVERED = Delivered("1", "eve@e.example", "", ("bob@b.example",))


def hooks(*functions: Callable[..., Any]) -> Hooks:
    return Hooks(
        [
            Hook(function.__name__, function, to, asyncio.iscoroutinefunction(function))
            for function in functions
            for to in function.mailwright_hooks  # type: ignore[attr-defined]
        ]
    )


async def test_all_have_their_say_until_one_refuses() -> None:
    @on(MessageArrived)
    def first(event: MessageArrived) -> Tag:
        return Tag((("X-Seen-By", "first"),), ("$Junk",))

    @on(MessageArrived)
    async def second(event: MessageArrived) -> list[object]:
        return [Redirect(("quarantine@b.example",)), Refuse("no thanks", 451)]

    @on(MessageArrived)
    def third(event: MessageArrived) -> None:
        raise AssertionError("nobody asks when it is refused already")

    decision = await hooks(first, second, third).ask(MESSAGE)
    assert decision.refusal == Refuse("no thanks", 451)
    assert decision.fields == [("X-Seen-By", "first")]
    assert decision.flags == ["$Junk"]
    assert decision.redirect == ("quarantine@b.example",)
    assert decision.verdicts == [
        ("first", "tag", "X-Seen-By, $Junk"),
        ("second", "redirect", "quarantine@b.example"),
        ("second", "refuse", "no thanks"),
    ]


async def test_plain_functions_run_in_a_thread_and_others_in_the_loop() -> None:
    seen: list[bool] = []

    @on(SenderGiven)
    def plain(event: SenderGiven) -> None:
        seen.append(threading.current_thread() is threading.main_thread())

    @on(SenderGiven)
    async def quick(event: SenderGiven) -> None:
        seen.append(threading.current_thread() is threading.main_thread())

    decision = await hooks(plain, quick).ask(SENDER)
    assert seen == [False, True]
    assert [verdict for _, verdict, _ in decision.verdicts] == ["pass", "pass"]


@pytest.mark.parametrize("failure", ["pass", "defer"])
async def test_one_that_raises_is_told_and_decides_as_it_said_it_would(
    failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @on(SenderGiven, failure=failure)
    def broken(event: SenderGiven) -> None:
        raise LookupError("no such table")

    decision = await hooks(broken).ask(SENDER)
    assert decision.verdicts == [("broken", "error", "LookupError: no such table")]
    assert (decision.refusal is not None) == (failure == "defer")
    assert "the hook broken failed: LookupError: no such table" in caplog.text


async def test_one_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    @on(SenderGiven, timeout=0.02)
    def hangs(event: SenderGiven) -> None:
        release.wait(30)

    @on(SenderGiven, timeout=0.02)
    async def waits(event: SenderGiven) -> None:
        await asyncio.sleep(30)

    decision = await hooks(hangs, waits).ask(SENDER)
    release.set()
    assert decision.verdicts == [
        ("hangs", "error", "it took longer than 0.02 s"),
        ("waits", "error", "it took longer than 0.02 s"),
    ]
    assert decision.refusal is None


async def test_an_answer_must_fit_the_event() -> None:
    @on(RecipientGiven)
    def tags(event: RecipientGiven) -> Tag:
        return Tag(flags=("$Junk",))

    decision = await hooks(tags).ask(RecipientGiven(CLIENT, "", "bob@b.example"))
    assert decision.verdicts[0][1] == "error"
    assert "RecipientGiven cannot be answered with Tag" in decision.verdicts[0][2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Refuse("x", 250),
        lambda: Refuse("x", 550, "4.7.1"),
        lambda: Tag((("X-A\r\nBcc", "x"),)),
        lambda: Tag((("X-A", "x\r\nBcc: eve@e.example"),)),
        lambda: Tag((("X-A", "x" * 901),)),
        lambda: Tag(flags=("\\Recent",)),
        lambda: Tag(flags=("two words",)),
        lambda: Tag(flags=("",)),
    ],
)
def test_an_answer_that_would_break_something_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        make()


def test_what_is_no_event_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="there are SenderGiven, "):
        on(int)


async def test_listeners_hear_in_order_and_what_is_too_much_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    @on(Delivered)
    async def listen(event: Delivered) -> None:
        heard.append(event.id)

    house = hooks(listen)
    for n in range(MAX_TOLD + 1):
        house.tell(Delivered(str(n), "", "", ()))
    await house.close()
    assert heard == [str(n) for n in range(MAX_TOLD)]
    assert "the hooks are too slow" in caplog.text


def test_modules_are_found_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "my_mail_hooks.py").write_text(
        "from mailwright.hooks import MessageArrived, SenderGiven, on\n"
        "@on(MessageArrived, timeout=2)\n"
        "@on(SenderGiven)\n"
        "async def both(event): pass\n"
    )
    found = load(["my_mail_hooks"], tmp_path)
    assert [(hook.name, hook.to.event, hook.to.timeout, hook.is_async) for hook in found] == [
        ("my_mail_hooks.both", SenderGiven, 5.0, True),
        ("my_mail_hooks.both", MessageArrived, 2, True),
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("no_such_hooks", None, "no_such_hooks cannot be imported: No module named"),
        ("bad_hooks", "x = 1 / 0", "bad_hooks cannot be imported: ZeroDivisionError: division by zero"),
        ("empty_hooks", "def f(event): pass", r"empty_hooks has no function with `@on\(...\)`"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(BadHooks, match=told):
        load([name], tmp_path)
