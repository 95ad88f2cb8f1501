"""The pages agree with the code they speak of."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
import tomllib
import typing
from pathlib import Path
from types import ModuleType

import click
import pytest

from mailwright import __version__
from mailwright.base.limits import Limits
from mailwright.cli import reference as commands_page
from mailwright.cli.root import COMMANDS, root
from mailwright.config import Config, parse
from mailwright.config import reference as configuration_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def load_rfc() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_rfc", DOCS / "rfc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_rfc"] = module
    spec.loader.exec_module(module)
    return module


rfc = load_rfc()


def test_the_page_of_the_settings_is_current() -> None:
    assert (DOCS / "configuration.md").read_text() == configuration_page.page(), "run `make docs`"


def test_every_setting_has_a_meaning() -> None:
    page = configuration_page.page()

    def check(kind: type) -> None:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            inner = (
                typing.get_args(hints[field.name])[0]
                if typing.get_args(hints[field.name])
                else hints[field.name]
            )
            if isinstance(inner, type) and dataclasses.is_dataclass(inner):
                check(inner)
            else:
                found = re.search(rf"^\| `{field.name}` \| .+ \| (.+) \|$", page, re.MULTILINE)
                assert found is not None, field.name
                assert len(found[1]) > 10, field.name

    check(Config)
    assert {field.name for field in dataclasses.fields(Limits)} <= set(
        re.findall(r"^\| `(\w+)`", page, re.MULTILINE)
    )


def test_the_page_of_the_commands_is_current() -> None:
    assert (DOCS / "cli.md").read_text() == commands_page.page(), "run `make docs`"


def all_commands(group: click.Group, path: str = "mailwright") -> typing.Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(all_commands(root)), ids=lambda value: str(value))
def test_every_command_and_option_explains_itself(path: str, command: click.Command) -> None:
    assert command.help, path
    assert f"# {path}\n" in (DOCS / "cli.md").read_text()
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("kind",):
            assert parameter.help, f"{path} {parameter.opts}"


def test_the_short_help_of_a_command_is_told_without_loading_it() -> None:
    for name, (_, text) in COMMANDS.items():
        assert text.endswith("."), name
        assert len(text) < 80, name


def test_a_list_of_commands_has_whole_sentences_on_80_columns() -> None:
    for path, command in all_commands(root):
        listed = command.get_help(click.Context(command, info_name=path, terminal_width=80))
        assert "..." not in listed.partition("Commands:")[2], path


def test_every_citation_is_a_standard_we_know() -> None:
    assert rfc.missing() == [], "look them up, then `python docs/rfc.py --add`"


def test_the_page_of_the_standards_is_current() -> None:
    assert rfc.PAGE.read_text() == rfc.page(), "run `make docs`"


def test_what_is_not_there_has_a_status_and_a_title() -> None:
    for number, entry in rfc.known().items():
        assert entry["status"] in ("full", "partial", "no"), number
        assert entry["title"], number
        assert set(entry) <= {"title", "status", "notes", "cited"}, number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see RFC 5321 4.5.3.1.6.", [("5321", ["4.5.3.1.6"])]),
        ("(RFC 3501 7.4.1 and 5.5)", [("3501", ["7.4.1", "5.5"])]),
        ("RFC 5321 4.5.4.1: 4 to 5 days", [("5321", ["4.5.4.1"])]),
        ("RFC 5034, RFC 6856 2 and 3, x", [("5034", []), ("6856", ["2", "3"])]),
        ("# RFC 5321\n    # 4.1.1.9", [("5321", ["4.1.1.9"])]),
        ("RFC 1939 10 minutes", [("1939", ["10"])]),
        ("RFC 5322 A.1.2", [("5322", ["A.1.2"])]),
        ("RFC 2047", [("2047", [])]),
    ],
)
def test_how_citations_are_read(text: str, found: list[tuple[str, list[str]]]) -> None:
    assert list(rfc.cited(text)) == found


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/flow.md", "docs/architecture.md"]
)
def test_links_lead_somewhere(name: str) -> None:
    file = ROOT / name
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", file.read_text()):
        assert (file.parent / target).exists(), f"{name}: {target}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/flow.md"])
def test_code_that_is_named_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    for path in re.findall(r"`((?:src|tests|docs|bench)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{name}: {path}"
    for path in re.findall(
        r"`((?:smtp|imap|pop3|delivery|queue|store|net|directory|message)/[\w./]+)`", text
    ):
        assert (ROOT / "src" / "mailwright" / path).exists(), f"{name}: {path}"
    for target in re.findall(r"`make (\w+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), (
            f"{name}: make {target}"
        )
    known = {path for path, _ in all_commands(root)}
    for command in re.findall(r"^\s*(mailwright [a-z][a-z-]*(?: [a-z][a-z-]+)?)", text, re.MULTILINE):
        words = command.split()
        assert command in known or " ".join(words[:2]) in known, f"{name}: {command}"


def test_examples_of_settings_are_settings() -> None:
    for name in ("README.md", "docs/configuration.md"):
        for block in re.findall(r"```toml\n(.*?)```", (ROOT / name).read_text(), re.DOTALL):
            parse(block, source=name)


def test_the_changelog_knows_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_dependencies_have_their_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (DOCS / "architecture.md").read_text()
    for dependency in project["dependencies"]:
        name = re.match(r"[\w-]+", dependency)
        assert name is not None
        assert f"| `{name[0]}` |" in page, dependency
