"""Thunderbird without a window, driven from outside."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from clients.mail import Person, certificate
from support.demo import Demo, require
from support.marionette import Marionette
from support.socks import Detour

FUNCTIONS: Final = Path(__file__).with_suffix(".js")
DOMAIN: Final = "demo.test"
PLACES: Final = {  # where it looks for servers when it knows no more than an address of the domain
    ("imap", 143): "imap",
    ("imap", 993): "imaps",
    ("pop3", 110): "pop3",
    ("pop3", 995): "pop3s",
    ("smtp", 587): "submission",
    ("smtp", 465): "submissions",
}
OPTIONS: Final = ("--headless", "--no-remote", "--marionette", "--remote-allow-system-access")
SETTINGS: Final = {
    "marionette.port": 0,
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_remote_dns": True,
    "network.proxy.no_proxies_on": "",
    "datareporting.policy.dataSubmissionEnabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mailnews.start_page.enabled": False,
}


class Thunderbird:
    """A running Thunderbird with one account, whose folders and messages it is asked about by name."""

    def __init__(self, remote: Marionette, person: Person) -> None:
        self._remote = remote
        self.person = person
        self.found: list[dict[str, Any]] = []  # the servers that it found for the account

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of thunderbird.js on the account."""
        return self._remote.run(f"return {function}(...args)", self.person.address, *arguments)

    def prepare(self) -> None:
        """Load the functions, accept the demo's certificate, and set the account up."""
        self._remote.run(FUNCTIONS.read_text())
        lines = Path(certificate(self.person.demo)).read_text().splitlines()
        places = [(f"{name}.{DOMAIN}", port) for name, port in PLACES]
        self._remote.run("accept(...args)", "".join(line for line in lines if "-" not in line), places)
        login = ["爱丽丝", self.person.address, self.person.password]
        self.found = self._remote.run("return setUp(...args)", *login)


@contextmanager
def running(demo: Demo, person: Person, home: Path) -> Iterator[Thunderbird]:
    """Thunderbird with a new profile, or skip. All its connections lead to the demo or nowhere."""
    program = require("thunderbird", "thunderbird")
    profile = home / "profile"
    profile.mkdir(parents=True)
    ways = {(f"{name}.{DOMAIN}", port): demo.address(service) for (name, port), service in PLACES.items()}
    with Detour(ways) as detour, (home / "log").open("wb") as log:
        settings = {**SETTINGS, "network.proxy.socks_port": detour.port}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in settings.items()]
        (profile / "user.js").write_text("".join(lines))
        process = subprocess.Popen(
            [program, *OPTIONS, "--profile", str(profile)],
            env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            thunderbird = Thunderbird(Marionette(_port(process, profile, home / "log")), person)
            thunderbird.prepare()
            yield thunderbird
        finally:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], profile: Path, log: Path) -> int:
    """Where the remote control listens, once it does."""
    file = profile / "MarionetteActivePort"
    deadline = time.monotonic() + 180
    while not (file.exists() and (text := file.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Thunderbird did not start:\n{log.read_text('utf-8', 'replace')[-4000:]}")
        time.sleep(0.05)
    return int(text)
