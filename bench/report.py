"""What a measurement found, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")


@dataclass
class Result:
    """One line of the table. `pair` and `ours` hold one value for each round; the median counts.

    `goal` bounds ours/pair when `relative`, else ours alone; `at_least` says from which side.
    """

    what: str
    unit: str
    pair: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    goal: float | None = None
    at_least: bool = False
    relative: bool = True
    note: str = ""

    @property
    def ratio(self) -> float | None:
        if not self.pair or not self.ours or not statistics.median(self.pair):
            return None
        return statistics.median(self.ours) / statistics.median(self.pair)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None when it cannot be said."""
        value = self.ratio if self.relative else statistics.median(self.ours) if self.ours else None
        if self.goal is None or value is None:
            return None
        return value >= self.goal if self.at_least else value <= self.goal

    def goal_text(self) -> str:
        if self.goal is None:
            return ""
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.goal:g} x" if self.relative else f"{sign} {_number(self.goal)} {self.unit}"


class Report:
    """Collects results and shows them as they come."""

    def __init__(self, version: str, console: Console | None = None) -> None:
        self.version = version
        self.console = console or Console(width=118)
        self.results: list[Result] = []
        self.troubles: list[str] = []

    def say(self, text: str) -> None:
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}", highlight=False)

    def add(self, result: Result) -> None:
        self.results.append(result)
        middle = {"pair": result.pair, "ours": result.ours}
        values = ", ".join(f"{name} {_median(found)}" for name, found in middle.items() if found)
        self.say(f"{result.what}: {values} {result.unit}")

    def trouble(self, text: str) -> None:
        """What could not be measured, and why."""
        self.troubles.append(text)
        self.console.print(f"[yellow]{text}[/]", highlight=False)

    def show(self) -> None:
        table = Table(
            title=f"Mailwright beside Postfix and Dovecot: medians ({self.version})", title_justify="left"
        )
        for column in ("what", "unit"):
            table.add_column(column)
        for column in ("pair", "ours", "ratio", "goal", "met"):
            table.add_column(column, justify="right")
        for result in self.results:
            ratio = f"{result.ratio:.2f}" if result.ratio is not None else ""
            met = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[result.met]
            what = f"{result.what}\n[dim]{result.note}[/]" if result.note else result.what
            table.add_row(
                what, result.unit, _median(result.pair), _median(result.ours), ratio, result.goal_text(), met
            )
        self.console.print(table)
        for trouble in self.troubles:
            self.console.print(f"[yellow]not measured:[/] {trouble}", highlight=False)

    def write(self, path: Path) -> None:
        """Write everything that was measured, round by round."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            asdict(result) | {"ratio": result.ratio, "met": result.met, "goal_text": result.goal_text()}
            for result in self.results
        ]
        machine = {"machine": platform.machine(), "cores": os.cpu_count(), "system": platform.platform()}
        head = {
            "version": self.version,
            "python": platform.python_version(),
            "at": time.strftime("%FT%TZ", time.gmtime()),
        }
        path.write_text(
            json.dumps(head | machine | {"results": rows, "not_measured": self.troubles}, indent=1) + "\n"
        )


def interleave(rounds: int, sides: Mapping[str, T], one: Callable[[T], float]) -> dict[str, list[float]]:
    """Measure each side once in each round, one after the other, so that both meet the same weather."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            values[name].append(one(side))
    return values


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _median(values: list[float]) -> str:
    return _number(statistics.median(values)) if values else "-"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"
