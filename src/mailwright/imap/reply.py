"""How a command ends."""

from __future__ import annotations


class Reply:
    """The tagged response. `code` stands without its brackets."""

    __slots__ = ("code", "condition", "text")

    def __init__(self, text: str, code: str = "", condition: str = "OK") -> None:
        self.text = text
        self.code = code
        self.condition = condition


class Refused(Exception):
    """A command ends with NO (or BAD, for what the client should never have sent)."""

    condition = "NO"

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Bad(Refused):
    condition = "BAD"
