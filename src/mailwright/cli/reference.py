"""The reference page of all commands, made from the commands by `python -m mailwright.cli.reference`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from mailwright.cli.exits import MEANING
from mailwright.cli.root import root

HEAD = """\
# Commands

<!-- Made by `python -m mailwright.cli.reference > docs/cli.md`: edit the commands instead. -->

Each command explains itself with `--help`. Those that read the configuration take `--config FILE`
(`-c`, or the variable `MAILWRIGHT_CONFIG`; default `/etc/mailwright/mailwright.toml`). With `--json` a command
writes one line of JSON to standard output; messages and progress go to standard error. Times are in UTC; in JSON
they are seconds since 1970.

| exit code | meaning |
| --- | --- |
"""


def page() -> str:
    """The whole page, in Markdown."""
    codes = "".join(f"| {int(code)} | {text} |\n" for code, text in MEANING.items())
    return HEAD + codes + "".join(_commands(root, "mailwright"))


def _commands(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield _command(command, f"{path} {name}")
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _command(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    text = f"\n{'#' * len(path.split())} {path}\n\n"
    if not isinstance(command, click.Group):
        text += f"    {usage}\n\n"
    text += f"{_prose(command.help or '')}\n"
    rows = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    rows = [
        (flag, words) for flag, words in rows if words and not words.startswith("The configuration file (")
    ]
    if rows:
        text += "\n| option | meaning |\n| --- | --- |\n"
        text += "".join(f"| `{_cell(flag)}` | {_cell(words)} |\n" for flag, words in rows)
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    """Paragraphs as they are; what click keeps line by line (\\b), and examples, as code."""
    parts = []
    for paragraph in text.strip().split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip() != "\b"]
        if lines and lines[0] == "Examples:":
            parts.append("\n".join(f"    {line}" for line in lines[1:]))
        elif lines and lines[0].startswith("Example: "):
            parts.append("    " + lines[0].removeprefix("Example: "))
        else:
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
