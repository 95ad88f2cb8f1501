"""One run: the servers that take part, how often each thing is measured, and where the results go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from support.demo import Account

from .report import Report, Result, interleave
from .servers import Ours, Pair, Server

T = TypeVar("T")


@dataclass
class Bench:
    """What a row needs. A side that does not take part is None."""

    report: Report
    pair: Pair | None
    ours: Ours | None
    rounds: int = 5
    quick: bool = False
    mailboxes: dict[int, dict[str, Account]] = field(default_factory=dict)  # see `mailboxes.loaded`

    @property
    def servers(self) -> dict[str, Server]:
        sides: tuple[Server | None, ...] = (self.pair, self.ours)
        return {server.name: server for server in sides if server is not None}

    def count(self, full: int, quick: int) -> int:
        """How many of something to measure with."""
        return quick if self.quick else full

    def measure(
        self, result: Result, sides: Mapping[str, T], one: Callable[[T], float], rounds: int = 0
    ) -> None:
        """Measure each side in turns and add the result to the report."""
        values = interleave(rounds or self.rounds, sides, one)
        result.pair, result.ours = values.get("pair", []), values.get("ours", [])
        self.report.add(result)
