"""What the server says: every reply text in one place (RFC 5321 4.2, RFC 3463)."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

MAX_TEXT: Final = (
    400  # octets of text in one line: 512 less the codes (RFC 5321 4.5.3.1.5), with room to spare
)


class Reply(NamedTuple):
    """A reply of one or more lines. `enhanced` is '' where RFC 2034 wants none (greeting, EHLO, 354)."""

    code: int
    enhanced: str
    lines: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """The lines with their CRLFs. Controls and line ends in the text become `?`, long lines are cut."""
        return _to_bytes(self.code, self.enhanced, self.lines)

    @property
    def is_success(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_temporary(self) -> bool:
        return 400 <= self.code < 500


@functools.lru_cache(maxsize=500)  # most are said again and again
def _to_bytes(code: int, enhanced: str, lines: tuple[str, ...]) -> bytes:
    if not all(_fits(line) for line in lines):
        lines = tuple(part for line in lines for part in _fold(line))
    lines = lines or ("",)
    prefix = f"{enhanced} " if enhanced else ""
    out = [f"{code}-{prefix}{line}\r\n" for line in lines[:-1]]
    out.append(f"{code} {prefix}{lines[-1]}\r\n")
    return "".join(out).encode()


def reply(code: int, enhanced: str, text: str) -> Reply:
    """A reply of one line."""
    return Reply(code, enhanced, (text,))


def _fits(line: str) -> bool:
    return len(line) <= MAX_TEXT and line.isascii() and line.isprintable()


def _fold(line: str) -> list[str]:
    if not (line.isascii() and line.isprintable()):
        line = "".join(char if char.isprintable() else "?" for char in line)
        line = line.encode("ascii", "backslashreplace").decode()
    if len(line) <= MAX_TEXT:
        return [line]
    return [line[start : start + MAX_TEXT] for start in range(0, len(line), MAX_TEXT)]


# Fine
OK: Final = reply(250, "2.0.0", "OK")
SENDER_OK: Final = reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK: Final = reply(250, "2.1.5", "Recipient OK")
RESET: Final = reply(250, "2.0.0", "Forgotten; send MAIL FROM for a new message")
BYE: Final = reply(221, "2.0.0", "Goodbye")
READY_FOR_TLS: Final = reply(220, "2.0.0", "Ready to start TLS")
START_DATA: Final = reply(354, "", "Send the message; end it with a line that holds only a dot")
CANNOT_VERIFY: Final = reply(252, "2.0.0", "Not told here; send mail to the address and see")

# Syntax
LINE_TOO_LONG: Final = reply(500, "5.5.2", "The line is too long; it was not looked at")
CONTROL_CHARACTERS: Final = reply(500, "5.5.2", "A command holds no control characters")
NOT_UTF8: Final = reply(500, "5.5.2", "A command is written in ASCII, or in UTF-8 with SMTPUTF8")
UNKNOWN_COMMAND: Final = reply(500, "5.5.2", "Unknown command; HELP lists those known here")
NOT_IMPLEMENTED: Final = reply(502, "5.5.1", "This command is not implemented here")
NOT_SMTP: Final = reply(421, "4.7.0", "This is a mail server and speaks SMTP; closing")
USE_LHLO: Final = reply(500, "5.5.1", "This is LMTP; say LHLO")
NO_LHLO: Final = reply(500, "5.5.1", "This is SMTP, not LMTP; say EHLO")
NO_ARGUMENT: Final = reply(501, "5.5.4", "This command takes no argument")
NEEDS_DOMAIN: Final = reply(501, "5.5.4", "Say who you are: EHLO host.example")
NEEDS_DOMAIN_LMTP: Final = reply(501, "5.5.4", "Say who you are: LHLO host.example")
NEEDS_ARGUMENT: Final = reply(501, "5.5.4", "An argument is missing; HELP tells the syntax")
MAIL_SYNTAX: Final = reply(501, "5.5.4", "Syntax: MAIL FROM:<user@example.org> [parameters]")
RCPT_SYNTAX: Final = reply(501, "5.5.4", "Syntax: RCPT TO:<user@example.org> [parameters]")
AUTH_SYNTAX: Final = reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
BDAT_SYNTAX: Final = reply(
    501, "5.5.4", "Syntax: BDAT octets [LAST]; closing, as the octets cannot be told from commands"
)
PARAMETER_SYNTAX: Final = reply(
    501, "5.5.4", "A parameter is malformed; parameters are KEYWORD=value, apart by one space"
)

# Order of commands
SAY_HELLO: Final = reply(503, "5.5.1", "Say EHLO first")
SAY_LHLO: Final = reply(503, "5.5.1", "Say LHLO first")
NESTED_MAIL: Final = reply(
    503, "5.5.1", "A message is already begun; finish it, or send RSET before another MAIL"
)
NEED_MAIL: Final = reply(503, "5.5.1", "Send MAIL FROM first")
NEED_RCPT: Final = reply(503, "5.5.1", "Send RCPT TO first")
NO_VALID_RECIPIENTS: Final = reply(
    554, "5.5.1", "No recipient was accepted, so there is nobody to deliver to"
)
IN_CHUNKS: Final = reply(
    503, "5.5.1", "The message is coming in chunks; finish it with BDAT LAST, or send RSET"
)
BINARY_NEEDS_BDAT: Final = reply(503, "5.5.1", "A message with BODY=BINARYMIME is sent by BDAT, not DATA")
ALREADY_TLS: Final = reply(503, "5.5.1", "TLS is already active")
ALREADY_AUTHENTICATED: Final = reply(503, "5.5.1", "You are already logged in")
AUTH_IN_MAIL: Final = reply(503, "5.5.1", "Log in before MAIL, not within a message")

# Security
NEEDS_TLS: Final = reply(530, "5.7.0", "Must issue a STARTTLS command first")
NEEDS_AUTH: Final = reply(
    530, "5.7.0", "Authentication required: set your mail program to log in with user name and password"
)
AUTH_NEEDS_TLS: Final = reply(
    538, "5.7.11", "Encryption required before logging in; turn on STARTTLS in your mail program"
)
NO_AUTH_HERE: Final = reply(
    502, "5.5.1", "Nobody logs in on this port; send your mail through port 465 or 587"
)
NO_TLS_HERE: Final = reply(502, "5.5.1", "TLS is not set up on this port")
TLS_FAILED: Final = reply(454, "4.7.0", "TLS is not available at the moment; try again later")
UNKNOWN_MECHANISM: Final = reply(
    504, "5.5.4", "This authentication mechanism is not offered here; EHLO lists those that are"
)
AUTH_CANCELLED: Final = reply(501, "5.7.0", "Authentication cancelled")
AUTH_TOO_LONG: Final = reply(500, "5.5.6", "The authentication line is too long")
AUTHENTICATED: Final = reply(235, "2.7.0", "Welcome")
NO_EXPN: Final = reply(502, "5.7.0", "Lists are not expanded here")

# Parameters
UTF8_SENDER: Final = reply(553, "5.6.7", "An address with non-ASCII characters needs the SMTPUTF8 parameter")
UTF8_RECIPIENT: Final = reply(
    553, "5.6.7", "An address with non-ASCII characters needs the SMTPUTF8 parameter of MAIL"
)
NO_REQUIRETLS: Final = reply(555, "5.5.4", "REQUIRETLS is not offered on this connection")
PATH_TOO_LONG: Final = reply(501, "5.1.0", "The address is too long")

# The message
TOO_BIG: Final = reply(
    552, "5.3.4", "The message is bigger than this server takes; send a link instead of the file"
)
TOO_MANY_RECIPIENTS: Final = reply(
    452, "4.5.3", "Too many recipients; send the message to the others separately"
)
BARE_LINE_END: Final = reply(
    554,
    "5.6.0",
    "The message holds a bare CR or LF; lines must end in CR LF (RFC 5321 2.3.8): mend the sending program",
)
STORAGE_FULL: Final = reply(452, "4.3.1", "The server has no room at the moment; try again later")
NOT_SET_UP: Final = reply(451, "4.3.5", "This server has no domain yet; try again later")
LOCAL_ERROR: Final = reply(451, "4.3.0", "Something went wrong on this server; try again later")

LOGIN_UNAVAILABLE: Final = reply(454, "4.7.0", "The login cannot be checked at the moment; try again later")

# The end
LOCAL_ERROR_CLOSING: Final = reply(421, "4.3.0", "Something went wrong on this server; try again later")
ENDLESS: Final = reply(421, "4.3.4", "The message is much too big; closing")
IDLE: Final = reply(421, "4.4.2", "Nothing came for too long; closing")
TOO_SLOW: Final = reply(421, "4.4.2", "The data came too slowly; closing")
SHUTTING_DOWN: Final = reply(421, "4.3.2", "The server is shutting down; try again in a minute")
TOO_MANY_ERRORS: Final = reply(421, "4.7.0", "Too many errors; closing")
TOO_MANY_COMMANDS: Final = reply(421, "4.7.0", "Too many commands without a message; closing")
TOO_MANY_MESSAGES: Final = reply(421, "4.7.0", "Enough messages for one connection; open another")
OVERLOADED: Final = reply(421, "4.3.2", "Too many connections; try again later")

# For the mailroom: what it answers to MAIL, RCPT and the end of data
RELAY_DENIED: Final = reply(
    550,
    "5.7.1",
    "Relaying denied: this server takes mail for its own domains only; log in on port 465 or 587 to send",
)
NO_SUCH_USER: Final = reply(550, "5.1.1", "No such user here; check the address")
NO_SUCH_DOMAIN: Final = reply(550, "5.1.2", "No such domain; check the part after the @")
ALIAS_TO_NOBODY: Final = reply(
    550, "5.3.5", "The alias of this address is set up wrong: mail for it reaches nobody; tell the postmaster"
)
ACCOUNT_DISABLED: Final = reply(550, "5.2.1", "This account is disabled and takes no mail")
OVER_QUOTA: Final = reply(452, "4.2.2", "The mailbox is full; try again later")
OVER_QUOTA_FOR_GOOD: Final = reply(552, "5.2.2", "The mailbox is full")
STORE_BUSY: Final = reply(451, "4.3.0", "The mail store is busy; try again later")
RECIPIENT_GONE: Final = reply(
    451, "4.2.1", "A recipient was removed while the message came, so it was kept for nobody; send it again"
)
NOT_YOUR_ADDRESS: Final = reply(
    553, "5.7.1", "This sender address does not belong to the account you logged in with"
)
MAIL_LOOP: Final = reply(554, "5.4.6", "The message has passed too many servers: there is a mail loop")


def greeting(hostname: str, protocol: str) -> Reply:
    """`protocol` is ESMTP or LMTP."""
    return reply(220, "", f"{hostname} {protocol} Mailwright")


def hello(hostname: str, name: str, keywords: tuple[str, ...]) -> Reply:
    """The answer to EHLO or LHLO; no keywords, to HELO."""
    return Reply(250, "", (f"{hostname} greets {name}", *keywords))


def challenge(data: str) -> Reply:
    """`data` is in base64 (RFC 4954 4)."""
    return reply(334, "", data)


def suppressed(reason: str) -> Reply:
    """The recipient's server refused mail of this account for good, not long ago."""
    return reply(
        550,
        "5.1.1",
        f"This address refused your mail before: {reason[:200]}; if it is right again, have it taken off the"
        " list of suppressed addresses",
    )


def accepted(queue_id: str) -> Reply:
    """The message is kept."""
    return reply(250, "2.0.0", f"OK, accepted as {queue_id}")


def chunk_accepted(size: int) -> Reply:
    return reply(250, "2.0.0", f"{size} octets received")


_FORMS: Final = {
    "SIZE": "SIZE=octets, at most 20 digits",
    "BODY": "BODY=7BIT, BODY=8BITMIME or BODY=BINARYMIME",
    "RET": "RET=FULL or RET=HDRS",
    "ENVID": "ENVID=id, at most 100 characters of xtext",
    "AUTH": "AUTH=<> or AUTH=address in xtext",
    "NOTIFY": "NOTIFY=NEVER, or some of SUCCESS,FAILURE,DELAY",
    "ORCPT": "ORCPT=type;address in xtext",
}


def parameter_syntax(keyword: str) -> Reply:
    """A parameter of MAIL or RCPT whose value cannot be what is there, or that comes twice."""
    form = _FORMS.get(keyword, f"{keyword[:40]}, without a value")
    return reply(501, "5.5.4", f"Syntax: {form}; each parameter once")


def unknown_parameter(keyword: str) -> Reply:
    return reply(555, "5.5.4", f"The parameter {keyword[:40]} is not known here")


def unsupported_value(keyword: str, value: str) -> Reply:
    return reply(504, "5.5.4", f"{keyword}={value[:40]} is not supported here")


def bad_mailbox(sender: bool, why: str) -> Reply:
    """An address whose form is wrong: 5.1.7 for the sender's, 5.1.3 for a recipient's."""
    return reply(553, "5.1.7" if sender else "5.1.3", why)


def message_too_big(limit: int) -> Reply:
    """`limit` in octets."""
    return reply(
        552, "5.3.4", f"The message is bigger than the {limit} octets this server takes; send a link instead"
    )


def authentication_failed(text: str) -> Reply:
    return reply(535, "5.7.8", text)


def authentication_unavailable(text: str) -> Reply:
    return reply(454, "4.7.0", text)


def login_ended(text: str) -> Reply:
    return reply(421, "4.7.0", text)


def malformed_response(text: str) -> Reply:
    return reply(501, "5.5.2", text[:1].upper() + text[1:])


HELP_TEXTS: Final[dict[str, str]] = {
    "EHLO": "EHLO host.example -- say who you are, and learn the extensions",
    "HELO": "HELO host.example -- the same without extensions",
    "LHLO": "LHLO host.example -- say who you are (LMTP)",
    "MAIL": "MAIL FROM:<sender> [SIZE= BODY= SMTPUTF8 RET= ENVID= AUTH= REQUIRETLS] -- begin a message",
    "RCPT": "RCPT TO:<recipient> [NOTIFY= ORCPT=] -- add a recipient",
    "DATA": "DATA -- send the message, ended by a line that holds only a dot",
    "BDAT": "BDAT octets [LAST] -- send the message in chunks of known size",
    "RSET": "RSET -- forget the message begun",
    "NOOP": "NOOP -- do nothing",
    "QUIT": "QUIT -- end the connection",
    "VRFY": "VRFY address -- answered 252",
    "EXPN": "EXPN list -- refused",
    "STARTTLS": "STARTTLS -- encrypt the connection",
    "AUTH": "AUTH mechanism [initial-response] -- log in",
    "HELP": "HELP [command] -- this text",
}


def help_text(topic: str) -> Reply:
    """All commands, or one."""
    line = HELP_TEXTS.get(topic.upper())
    if line is not None:
        return reply(214, "2.0.0", line)
    return Reply(
        214, "2.0.0", ("Commands: " + " ".join(HELP_TEXTS), "HELP followed by one of them tells more")
    )
