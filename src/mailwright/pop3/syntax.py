"""The grammar of a POP3 command line (RFC 1939 9, RFC 2449 8, RFC 5034 6)."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.sasl.wire import Cancelled, InvalidResponse, decode_initial_response

MAX_KEYWORD: Final = 16  # octets; the longest known one has 4
MAX_DIGITS: Final = 10
MAX_MECHANISM: Final = 20  # RFC 4422 3.1


class Command(NamedTuple):
    """A command. `number` is a message's, 0 when none was named; `text` is the argument of the others."""

    name: str
    number: int = 0
    lines: int = 0  # of TOP
    text: str = ""


class Auth(NamedTuple):
    """AUTH; `mechanism` is in capitals, '' when the client asks which there are. `initial` None: no response yet."""

    mechanism: str = ""
    initial: bytes | None = None
    name: str = "AUTH"


class SyntaxFault(NamedTuple):
    """A line that is no command; `text` says why."""

    text: str


_NOTHING: Final = 0
_NUMBER: Final = 1
_OPTIONAL_NUMBER: Final = 2
_NUMBER_AND_LINES: Final = 3
_TEXT: Final = 4
_OPTIONAL_TEXT: Final = 5
_MECHANISM: Final = 6

_ARGUMENTS: Final[dict[str, int]] = {
    "AUTH": _MECHANISM,
    "CAPA": _NOTHING,
    "DELE": _NUMBER,
    "LANG": _OPTIONAL_TEXT,
    "LIST": _OPTIONAL_NUMBER,
    "NOOP": _NOTHING,
    "PASS": _TEXT,
    "QUIT": _NOTHING,
    "RETR": _NUMBER,
    "RSET": _NOTHING,
    "STAT": _NOTHING,
    "STLS": _NOTHING,
    "TOP": _NUMBER_AND_LINES,
    "UIDL": _OPTIONAL_NUMBER,
    "USER": _TEXT,
    "UTF8": _NOTHING,
}
NAMES: Final = frozenset(_ARGUMENTS)


def parse_command(line: bytes) -> Command | Auth | SyntaxFault:
    """A line without its end. Keywords are in any case; spaces at the end are forgiven, but belong to a password."""
    keyword, _, rest = line.partition(b" ")
    name = _keyword(keyword)
    kind = _ARGUMENTS.get(name, -1)
    if kind < 0:
        return SyntaxFault(f"Unknown command {name}; CAPA tells what there is" if name else "No command")
    if kind == _TEXT:
        return _with_text(name, rest if name == "PASS" else rest.strip(b" "))
    arguments = rest.split()
    if kind == _NOTHING:
        return SyntaxFault(f"{name} takes no argument") if arguments else Command(name)
    if kind == _MECHANISM:
        return _auth(arguments)
    if kind == _OPTIONAL_TEXT:
        return _with_text(name, arguments[0]) if len(arguments) == 1 else _without(name, arguments)
    if kind == _OPTIONAL_NUMBER and not arguments:
        return Command(name)
    return _with_numbers(name, arguments, 2 if kind == _NUMBER_AND_LINES else 1)


def _keyword(octets: bytes) -> str:
    """The keyword in capitals; '' for what cannot be one, so that nothing odd is sent back."""
    if len(octets) > MAX_KEYWORD or not octets.isalnum():
        return ""
    return octets.decode("ascii").upper()


def _with_text(name: str, argument: bytes) -> Command | SyntaxFault:
    if not argument:
        return SyntaxFault(f"{name} needs an argument")
    try:
        return Command(name, text=argument.decode())
    except UnicodeDecodeError:
        return SyntaxFault(f"The argument of {name} must be UTF-8")  # RFC 6856 2.2


def _without(name: str, arguments: list[bytes]) -> Command | SyntaxFault:
    return SyntaxFault(f"{name} takes one argument at most") if arguments else Command(name)


def _with_numbers(name: str, arguments: list[bytes], count: int) -> Command | SyntaxFault:
    if len(arguments) != count:
        wanted = "a message number and a number of lines" if count == 2 else "a message number"
        return SyntaxFault(f"{name} takes {wanted}")
    for argument in arguments:
        if not argument.isdigit() or len(argument) > MAX_DIGITS:
            return SyntaxFault(f"{name}: a number has only digits, at most {MAX_DIGITS}")
    number = int(arguments[0])
    if number == 0:
        return SyntaxFault("Messages are numbered from 1")
    return Command(name, number, int(arguments[1]) if count == 2 else 0)


def _auth(arguments: list[bytes]) -> Auth | SyntaxFault:
    if not arguments:
        return Auth()
    if len(arguments) > 2:
        return SyntaxFault("AUTH takes a mechanism and one initial response")
    octets = arguments[0]
    if len(octets) > MAX_MECHANISM or not octets.isascii():
        return SyntaxFault("AUTH: this is no mechanism's name")
    mechanism = octets.decode("ascii").upper()
    if len(arguments) == 1:
        return Auth(mechanism)
    try:
        return Auth(mechanism, decode_initial_response(arguments[1]))
    except InvalidResponse as error:
        return SyntaxFault(f"AUTH: {error}")
    except Cancelled:
        return SyntaxFault("AUTH: cancelled")
