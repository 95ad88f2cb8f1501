"""Texts for people in other languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mailwright.imap
from mailwright.imap.languages import choose_language, translate
from mailwright.imap.languages.chinese import TEXTS

SPOKEN = {"Reply", "Refused", "Bad", "untagged", "tagged"}


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("FETCH completed", "FETCH 已完成"),
        ("no mailbox 'Work'", "没有邮箱 'Work'"),
        (
            "FETCH: there are 3 messages; the message set goes beyond",
            "FETCH：共有 3 封邮件，邮件序号超出范围",
        ),
        (
            "CATENATE cannot read the URL: it names another server",
            "CATENATE 无法读取该 URL：指向另一台服务器",
        ),
        (
            "you lack the right 'r' on 'Work'; ask its owner for it",
            "您没有 'Work' 的 'r' 权限，请联系其所有者",
        ),
        ("a text that nobody translated", "a text that nobody translated"),
        ("", ""),
        ("x" * 5000, "x" * 5000),
    ],
)
def test_translation(english: str, chinese: str) -> None:
    assert translate(english, "zh") == chinese
    assert translate(english, "en") == english
    assert translate(english, "i-default") == english


@pytest.mark.parametrize(("english", "chinese"), TEXTS.items())
def test_holes_fit(english: str, chinese: str) -> None:
    assert english.count("{}") == len(re.findall(r"\{[0-9]?\}", chinese))
    assert english[0].upper() == english[0]
    assert re.search(r"[\u4e00-\u9fff]", chinese) or english == "{}: {}"


def test_most_of_what_commands_say_is_translated() -> None:
    root = Path(mailwright.imap.__file__).parent
    texts = {text for path in root.rglob("*.py") for text in spoken(ast.parse(path.read_text("utf-8")))}
    missing = sorted(
        text for text in texts if translate(text.replace("{}", "x"), "zh") == text.replace("{}", "x")
    )
    assert len(texts) > 50
    assert len(missing) < len(texts) // 4, missing


def spoken(tree: ast.AST) -> Iterator[str]:
    """The texts of replies, with '{}' for what is filled in."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in SPOKEN:
            continue
        for argument in node.args:
            text = literal(argument)
            if " " in text and not re.fullmatch(r"[A-Z]{4,} .*", text):
                yield text


def literal(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


@pytest.mark.parametrize(
    ("ranges", "chosen"),
    [
        (["zh"], "zh"),
        (["zh-Hant-TW"], "zh"),
        (["fr", "EN-gb"], "en"),
        (["fr-*", "de"], ""),
        (["default"], "i-default"),
        (["*"], "i-default"),
        (["-", "--", ""], ""),
        ([], ""),
    ],
)
def test_choice(ranges: list[str], chosen: str) -> None:
    assert choose_language(ranges) == chosen
