"""The example in docs/hooks.md works, and the page names every event and answer."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import pytest

from mailwright import hooks
from mailwright.config import parse
from mailwright.hooks import AttemptFinished, Client, MessageArrived, RecipientGiven, RecipientResult
from mailwright.hooks.api import _ANSWERS
from mailwright.hooks.caller import MAX_THREADS, MAX_TOLD, Hooks
from mailwright.hooks.loader import load

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text()
CLIENT = Client("192.0.2.1", "client.example", "relay")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def arrived(content: bytes) -> MessageArrived:
    return MessageArrived(CLIENT, "", ("bob@example.org",), b"", len(content), lambda: [content])


async def test_the_example_does_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = parse(block("toml")).hooks
    (tmp_path / f"{settings.modules[0]}.py").write_text(block("python"))
    house = Hooks(load(settings.modules, tmp_path))
    to_shop = await house.ask(RecipientGiven(CLIENT, "", "shop-1@example.org"))
    assert to_shop.refusal is not None
    assert to_shop.refusal.enhanced == "5.7.10"
    assert (await house.ask(RecipientGiven(CLIENT, "", "bob@example.org"))).refusal is None
    assert (await house.ask(arrived(b'name="x.exe"'))).refusal is not None
    macros = await house.ask(arrived(b'name="x.docm"'))
    assert (macros.fields, macros.flags) == ([("X-Macros", "yes")], ["$Junk"])
    assert macros.redirect == ("quarantine@example.org",)
    assert (await house.ask(arrived(b"hello"))).verdicts == [("house_rules.look_at_attachments", "pass", "")]
    result = RecipientResult("x@y.example", "failed", "5.1.1", "550 no")
    house.tell(AttemptFinished(7, "", "y.example", "mx", (result,)))
    await house.close()
    assert capsys.readouterr().out == "7 x@y.example 5.1.1 550 no\n"


def test_the_page_names_all_there_is() -> None:
    for kind in (*_ANSWERS, *typing.get_args(hooks.Answer)):
        assert f"`{kind.__name__}" in PAGE
    assert f"more than {MAX_TOLD} wait" in PAGE
    assert f"at most {MAX_THREADS} at a time" in PAGE
