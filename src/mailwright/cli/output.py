"""How commands speak: lines and tables for people, JSON for scripts."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar

import click

from mailwright.cli.exits import Exit

if TYPE_CHECKING:
    from rich.progress import Progress


Answer = TypeVar("Answer")

_WIDE: Final = 10_000  # columns
_ALABEL: Final = re.compile(r"(?<![\w-])xn--[a-z0-9-]+")
_SAID: Final = re.compile(r" +[CS]: ")  # how a line of a dialog begins


def echo_json(value: Any) -> None:
    """One line of JSON on standard output, in UTF-8 whatever the locale: programs read it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    click.echo(text.encode("utf-8", "backslashreplace"))  # half a pair is its escape in JSON, too


def say(text: str, *, error: bool = False) -> None:
    """A line for people."""
    click.echo(readable(text), err=error)


def tell(story: str) -> None:
    """Lines for people, of which those that a peer and we said stay as they were."""
    for line in story.split("\n"):
        click.echo(line if _SAID.match(line) else readable(line))


def readable(text: str) -> str:
    """The text with its domain names in the script that they are written in: DNS and JSON keep the other form."""
    if "xn--" not in text:
        return text
    from mailwright.base.domain import to_unicode

    return _ALABEL.sub(lambda match: to_unicode(match[0]), text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A table; a column whose name begins with '>' is set right. `empty` is said when there are no rows."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    if not rows:
        click.echo(empty)
        return
    sheet = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        # Where a terminal is narrow, an address or a number is broken, not cut off.
        sheet.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    for row in rows:
        sheet.add_row(*("" if cell is None else readable(str(cell)) for cell in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDE  # a program or a file wants whole words
    console.print(sheet)


def fail(text: str, code: Exit = Exit.FAILED) -> NoReturn:
    """End the command with a message: what went wrong, and what to do."""
    say(f"mailwright: {text}", error=True)
    raise SystemExit(int(code))


def confirm(question: str) -> None:
    """Ask before what cannot be undone; ends the command unless the answer is yes. Its option --yes avoids it."""
    if not answered(lambda: click.confirm(question, err=True), "--yes"):
        raise click.Abort


def answered(ask: Callable[[], Answer], option: str) -> Answer:
    """What a person answers; where nobody can, the command ends and names the option that says it."""
    try:
        return ask()
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError(f"nobody is there to ask; give {option}") from None


def counted(number: int, one: str, many: str = "") -> str:
    """`1 message`, `2 messages`; `many` where it does not end in s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def size(octets: float) -> str:
    """`12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1024:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    return f"{octets:.1f} TiB"


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Progress bars on standard error, where a person sees them; nothing for programs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield bars
