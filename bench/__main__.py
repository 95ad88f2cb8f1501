"""`python -m bench [ROW ...]`: measure, show the table, write the results."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from support.demo import ROOT

from .report import Report
from .rows import LATER, ROWS
from .run import Bench
from .servers import Ours, Pair


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("rows", nargs=-1, type=click.Choice([*ROWS, *LATER]))
@click.option("--quick", is_flag=True, help="Smaller numbers and three rounds: a look, not a measurement.")
@click.option("--rounds", type=click.IntRange(1), help="Interleaved rounds of each measurement (default 5).")
@click.option("--only", type=click.Choice(["pair", "ours"]), help="Measure one side alone.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Where to write the results.")
def main(
    rows: tuple[str, ...], quick: bool, rounds: int | None, only: str | None, output: Path | None
) -> None:
    """Measure Mailwright beside Postfix and Dovecot on this machine.

    Without ROW all the rows of the first table are measured. The goals hold for full runs on an idle machine.
    """
    report = Report("the pair alone" if only == "pair" else Ours.version())
    bench = Bench(report, None, None, rounds or (3 if quick else 5), quick)
    try:
        _start(bench, only)
        for row in rows or ROWS:
            _measure(bench, row)
    finally:
        for server in (bench.pair, bench.ours):
            if server is not None:
                server.stop()
        if report.results:
            report.show()
            path = output or ROOT / "bench" / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
            report.write(path)
            report.say(f"written to {path}")
    sys.exit(1 if report.troubles and not report.results else 0)


def _start(bench: Bench, only: str | None) -> None:
    if only != "ours":
        pair = Pair()
        try:
            pair.start()
            bench.pair = pair
        except RuntimeError as error:
            bench.report.trouble(f"the reference pair: {error}")
    if only != "pair":
        bench.ours = Ours()
        bench.ours.start()


def _measure(bench: Bench, row: str) -> None:
    try:
        (ROWS | LATER)[row](bench)
    except (RuntimeError, OSError, AssertionError) as error:
        bench.report.trouble(f"{row}: {error}")


main()
