"""A line from a client as a command (RFC 5321 4.1.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from mailwright.smtp import replies
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.parameters import (
    NO_MAIL_PARAMETERS,
    NO_RCPT_PARAMETERS,
    MailParameters,
    ParameterFault,
    RcptParameters,
    parse_mail_parameters,
    parse_rcpt_parameters,
)
from mailwright.smtp.syntax.path import Path, PathFault, parse_path

MAX_HELLO: Final = 255
MAX_CHUNK: Final = 2**40  # octets of one BDAT; no honest client comes near
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # a terminal obeys those beyond ASCII too
_UNFIT: Final = re.compile(r'[^!-~]|[<>()\\",;@]')  # would break the trace header that names the client
_CHUNK: Final = re.compile(r"([0-9]{1,20})(?: +(LAST))? *", re.IGNORECASE)


class Hello(NamedTuple):
    """EHLO, HELO or LHLO. `name` is what the client calls itself, never trusted; see `_UNFIT`."""

    verb: str
    name: str


class Mail(NamedTuple):
    reverse_path: Path
    parameters: MailParameters


class Rcpt(NamedTuple):
    forward_path: Path
    parameters: RcptParameters


class Data(NamedTuple):
    verb: str = "DATA"


class Bdat(NamedTuple):
    size: int  # octets that follow
    last: bool


class Rset(NamedTuple):
    verb: str = "RSET"


class Noop(NamedTuple):
    verb: str = "NOOP"


class Quit(NamedTuple):
    verb: str = "QUIT"


class Vrfy(NamedTuple):
    argument: str


class Expn(NamedTuple):
    argument: str


class Help(NamedTuple):
    topic: str


class StartTls(NamedTuple):
    verb: str = "STARTTLS"


class Auth(NamedTuple):
    mechanism: str  # upper-case
    initial_response: bytes | None  # still in base64


Command = Hello | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help | StartTls | Auth


class SyntaxFault(NamedTuple):
    """A line that is no command; `fatal`: what follows cannot be understood, so close."""

    reply: Reply
    fatal: bool = False


def parse_command(line: bytes) -> Command | SyntaxFault:
    """A line without its line end. Never raises."""
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            if line[:4].upper() not in (b"EHLO", b"HELO", b"LHLO"):
                return SyntaxFault(replies.NOT_UTF8)
            text = line.decode("ascii", "replace")  # machines named in some code page must still get through
    if not text.isprintable():
        text = text.replace("\t", " ")
        if _CONTROLS.search(text) is not None:
            return SyntaxFault(replies.CONTROL_CHARACTERS)
    verb, _, argument = text.partition(" ")
    verb = verb.upper()
    parser = PARSERS.get(verb)
    if parser is None:
        return _refuse(verb)
    try:
        return parser(verb, argument)
    except (PathFault, ParameterFault) as fault:
        return SyntaxFault(fault.reply)


def _refuse(verb: str) -> SyntaxFault:
    if verb in _FOREIGN or verb.endswith(":"):
        # A browser made to talk to us, or a header that lost its DATA: nothing good follows.
        return SyntaxFault(replies.NOT_SMTP, fatal=True)
    return SyntaxFault(replies.NOT_IMPLEMENTED if verb in _OBSOLETE else replies.UNKNOWN_COMMAND)


_FOREIGN: Final = frozenset(("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PRI"))
_OBSOLETE: Final = frozenset(("SEND", "SOML", "SAML", "TURN", "ATRN", "ETRN"))


def _parse_hello(verb: str, argument: str) -> Command | SyntaxFault:
    name = argument.strip(" ")
    if not name or len(name) > MAX_HELLO:
        return SyntaxFault(replies.NEEDS_DOMAIN_LMTP if verb == "LHLO" else replies.NEEDS_DOMAIN)
    return Hello(verb, _UNFIT.sub("?", name))


def _parse_mail(verb: str, argument: str) -> Command | SyntaxFault:
    if argument[:5].upper() != "FROM:":
        return SyntaxFault(replies.MAIL_SYNTAX)
    path, rest = parse_path(argument[5:], True)
    parameters = parse_mail_parameters(rest) if rest else NO_MAIL_PARAMETERS
    if not parameters.smtputf8 and not argument.isascii():
        return SyntaxFault(replies.UTF8_SENDER)
    return Mail(path, parameters)


def _parse_rcpt(verb: str, argument: str) -> Command | SyntaxFault:
    if argument[:3].upper() != "TO:":
        return SyntaxFault(replies.RCPT_SYNTAX)
    path, rest = parse_path(argument[3:], False)
    return Rcpt(path, parse_rcpt_parameters(rest) if rest else NO_RCPT_PARAMETERS)


def _parse_bare(verb: str, argument: str) -> Command | SyntaxFault:
    if argument.strip(" "):
        return SyntaxFault(replies.NO_ARGUMENT)
    return _BARE[verb]


_BARE: Final[dict[str, Command]] = {
    "DATA": Data(),
    "RSET": Rset(),
    "QUIT": Quit(),
    "STARTTLS": StartTls(),
}


def _parse_bdat(verb: str, argument: str) -> Command | SyntaxFault:
    match = _CHUNK.fullmatch(argument.lstrip(" "))
    if match is None or int(match[1]) > MAX_CHUNK:
        return SyntaxFault(replies.BDAT_SYNTAX, fatal=True)
    return Bdat(int(match[1]), match[2] is not None)


def _parse_noop(verb: str, argument: str) -> Command | SyntaxFault:
    return Noop()  # RFC 5321 4.1.1.9: a parameter is ignored


def _parse_vrfy(verb: str, argument: str) -> Command | SyntaxFault:
    argument = argument.strip(" ")
    if not argument:
        return SyntaxFault(replies.NEEDS_ARGUMENT)
    return Vrfy(argument) if verb == "VRFY" else Expn(argument)


def _parse_help(verb: str, argument: str) -> Command | SyntaxFault:
    return Help(argument.strip(" "))


def _parse_auth(verb: str, argument: str) -> Command | SyntaxFault:
    words = argument.strip(" ").split(" ")
    if not words[0] or len(words) > 2 or not argument.isascii():
        return SyntaxFault(replies.AUTH_SYNTAX)
    return Auth(words[0].upper(), words[1].encode() if len(words) == 2 else None)


PARSERS: Final[dict[str, Callable[[str, str], Command | SyntaxFault]]] = {
    "EHLO": _parse_hello,
    "HELO": _parse_hello,
    "LHLO": _parse_hello,
    "MAIL": _parse_mail,
    "RCPT": _parse_rcpt,
    "DATA": _parse_bare,
    "BDAT": _parse_bdat,
    "RSET": _parse_bare,
    "NOOP": _parse_noop,
    "QUIT": _parse_bare,
    "VRFY": _parse_vrfy,
    "EXPN": _parse_vrfy,
    "HELP": _parse_help,
    "STARTTLS": _parse_bare,
    "AUTH": _parse_auth,
}
