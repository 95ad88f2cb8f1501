"""Mozilla's remote control, as far as the tests with Thunderbird need it: scripts that run with its own rights."""

from __future__ import annotations

import json
import socket
from typing import Any, Final

SECONDS: Final = 120.0  # for a script, however busy the machine


class ScriptError(Exception):
    """What a script threw, with its place."""


class Marionette:
    """A connection to a program that was started with `--marionette --remote-allow-system-access`.

    A message is JSON with its length and a colon before it: [0, number, command, parameters], answered by
    [1, number, error, result].
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS + 5)
        self._input = self._socket.makefile("rb")
        self._number = 0
        self._receive()  # who it is
        self.command("WebDriver:NewSession")
        self.command("WebDriver:SetTimeouts", script=int(SECONDS * 1000))
        self.command("Marionette:SetContext", value="chrome")

    def command(self, name: str, **parameters: Any) -> Any:
        """The result. Raises ScriptError."""
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, number, error, result = self._receive()
        assert number == self._number
        if error:
            raise ScriptError(f"{error['message']}\n{error['stacktrace']}")
        return result

    def run(self, script: str, *arguments: Any) -> Any:
        """What an asynchronous function with this body returns; `arguments` is what JSON can hold."""
        body = f"return (async (...args) => {{ {script} }})(...arguments)"
        result = self.command(
            "WebDriver:ExecuteScript", script=body, args=arguments, sandbox="system", newSandbox=False
        )
        return result["value"]

    def close(self) -> None:
        self._input.close()
        self._socket.close()

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            octet = self._input.read(1)
            if not octet:
                raise ConnectionError("the program closed its remote control")
            length += octet
        return json.loads(self._input.read(int(length[:-1])))
