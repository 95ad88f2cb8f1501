"""Runs `mailwright` within the test, as a shell would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from mailwright.cli.root import root


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The line of JSON that it wrote."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


class Shell:
    """Calls commands with one configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "mailwright.toml"

    def __call__(self, *args: str | Path, stdin: str = "") -> Done:
        """Run a command; a defect of ours raises."""
        environment = {"MAILWRIGHT_CONFIG": str(self.config)}
        words = [str(arg) for arg in args]
        result = CliRunner().invoke(
            root, words, input=stdin, env=environment, prog_name="mailwright", catch_exceptions=False
        )
        return Done(result.exit_code, result.stdout, result.stderr)

    def install(self) -> Shell:
        """A real installation with alice@example.org."""
        data = self.folder / "data"
        self("init", "--hostname", "mail.example.org", "--domain", "example.org", "--data", data)
        assert self("account", "add", "alice@example.org", "--password-stdin", stdin="secret\n").code == 0
        return self
