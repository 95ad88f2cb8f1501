"""The client's side of an SMTP or LMTP connection as a pure machine: commands out, replies in."""

from __future__ import annotations

import functools
import re
from collections import deque
from typing import Final, NamedTuple

from mailwright.sasl.client import ClientMechanism, ServerFault
from mailwright.sasl.wire import Cancelled, InvalidResponse, decode_response, encode
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.parameters import (
    NO_MAIL_PARAMETERS,
    NO_RCPT_PARAMETERS,
    MailParameters,
    RcptParameters,
    encode_orcpt,
    encode_xtext,
)
from mailwright.smtp.syntax.path import Path

MAX_LINE: Final = 4096  # octets; RFC 5321 4.5.3.1.5 says 512, and some servers never read it
MAX_LINES: Final = 200  # of one reply
MAX_REPLY: Final = 64 * 1024  # octets of one reply

_SHORT: Final = 100  # octets of a reply that may be remembered
_REPLY_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


class Sent(NamedTuple):
    """What a reply answers.

    `verb` is GREETING, a command's verb, CONTENT for the end of DATA, or '' for a 421 that nobody asked for.
    `path` is that of MAIL and RCPT, and in LMTP the recipient that a reply to CONTENT or the last BDAT is about.
    """

    verb: str
    path: Path | None = None
    last: bool = False  # BDAT LAST


_SENT_DATA: Final = Sent("DATA")
_SENT_CONTENT: Final = Sent("CONTENT", last=True)


class ReplyReceived(NamedTuple):
    reply: Reply
    to: Sent


class PeerFault(NamedTuple):
    """The peer does not speak SMTP, or could not prove who it is: close. `text` says why."""

    text: str


class Closed(NamedTuple):
    """The peer closed the connection; `missing` is how many replies were still due."""

    missing: int


Event = ReplyReceived | PeerFault | Closed


class Extensions(NamedTuple):
    """What the peer's EHLO or LHLO reply offers: keywords in upper case, with their parameters."""

    hostname: str
    keywords: dict[str, tuple[str, ...]]

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int | None:
        """The largest message in octets (RFC 1870); None: not told."""
        return self._number(self.keywords.get("SIZE", ())) or None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """SASL mechanisms, in upper case."""
        return tuple(name.upper() for name in self.keywords.get("AUTH", ()))

    def limit(self, name: str) -> int | None:
        """RCPTMAX or MAILMAX (RFC 9422); None: not told."""
        for word in self.keywords.get("LIMITS", ()):
            key, _, value = word.partition("=")
            if key.upper() == name:
                return self._number((value,)) or None
        return None

    @staticmethod
    def _number(words: tuple[str, ...]) -> int:
        word = words[0] if words else ""
        return int(word) if word.isascii() and word.isdigit() and len(word) <= 20 else 0


NO_EXTENSIONS: Final = Extensions("", {})


def parse_extensions(reply: Reply) -> Extensions:
    """The extensions in a 250 reply to EHLO or LHLO (RFC 5321 4.1.1.1)."""
    keywords: dict[str, tuple[str, ...]] = {}
    for line in reply.lines[1:]:
        # Old servers write AUTH=LOGIN for clients that are older still.
        words = ["AUTH", *line[5:].split()] if line[:5].upper() == "AUTH=" else line.split()
        if words:
            keyword = words[0].upper()
            keywords[keyword] = (*keywords.get(keyword, ()), *words[1:])
    words = reply.lines[0].split() if reply.lines else []
    return Extensions(words[0] if words else "", keywords)


class ClientConnection:
    """Each command method returns the octets to send and remembers that a reply is due.

    With PIPELINING the octets of several may be joined: MAIL, all RCPT and DATA (RFC 2920); else wait for each
    reply. The greeting is due from the start. Replies come in order as `ReplyReceived`; its `to` says what was
    answered. Octets are fed with `receive_data`, b'' at the end of input.

    A message goes by `data`, and after its 354 by `content` for each piece and `end_content`; or by `bdat` for
    each piece. In LMTP the end is answered once for each recipient that was accepted.
    """

    __slots__ = (
        "_accepted",
        "_buffer",
        "_closed",
        "_due",
        "_held",
        "_line_begins",
        "_lines",
        "_mechanism",
        "_over",
        "_reply_size",
        "_scanned",
        "extensions",
        "lmtp",
    )

    def __init__(self, *, lmtp: bool = False) -> None:
        self.lmtp = lmtp
        self.extensions = NO_EXTENSIONS
        self._buffer = b""
        self._scanned = 0
        self._lines: list[bytes] = []
        self._reply_size = 0
        self._due: deque[Sent] = deque((Sent("GREETING"),))
        self._accepted: list[Path] = []
        self._mechanism: ClientMechanism | None = None
        self._held = b""
        self._line_begins = True
        self._closed = False
        self._over = False

    @property
    def replies_due(self) -> int:
        """How many replies have not come yet."""
        return len(self._due)

    @property
    def due(self) -> tuple[Sent, ...]:
        """What has not been answered yet, in order."""
        return tuple(self._due)

    def reset(self) -> None:
        """After the TLS handshake: forget what the peer said in the clear (RFC 3207 4.2)."""
        self._buffer = b""
        self._scanned = 0
        self._lines.clear()
        self._reply_size = 0
        self.extensions = NO_EXTENSIONS

    # Commands

    def hello(self, name: str) -> bytes:
        """EHLO, or LHLO in LMTP. Its 250 fills `extensions`."""
        verb = "LHLO" if self.lmtp else "EHLO"
        return self._command(f"{verb} {name}", Sent(verb))

    def helo(self, name: str) -> bytes:
        """For a peer that refuses EHLO (RFC 5321 3.2)."""
        return self._command(f"HELO {name}", Sent("HELO"))

    def starttls(self) -> bytes:
        """After its 220: shake hands, then `reset`, then `hello` again."""
        return self._command("STARTTLS", Sent("STARTTLS"))

    def auth(self, mechanism: ClientMechanism) -> bytes:
        """Log in. Each 334 is answered with `auth_response`; then comes 235, or a failure."""
        self._mechanism = mechanism
        initial = mechanism.initial_response()
        if initial is None:
            return self._command(f"AUTH {mechanism.name}", Sent("AUTH"))
        return self._command(f"AUTH {mechanism.name} {encode(initial).decode() or '='}", Sent("AUTH"))

    def auth_response(self, challenge: Reply) -> bytes:
        """The line that answers a 334; `*` when the challenge is wrong, to which the peer answers 501."""
        self._due.append(Sent("AUTH"))
        if self._mechanism is None:
            return b"*\r\n"
        try:
            data = decode_response(challenge.lines[0].encode())
            return encode(self._mechanism.respond(data)) + b"\r\n"
        except (ServerFault, InvalidResponse, Cancelled):
            return b"*\r\n"

    def mail_from(self, path: Path, parameters: MailParameters = NO_MAIL_PARAMETERS) -> bytes:
        """Begin a message. Sends those parameters that the peer offers; whether the message may go without the
        others (SMTPUTF8, BINARYMIME, REQUIRETLS) is to be decided before.
        """
        offered = self.extensions.keywords
        line = f"MAIL FROM:<{path}>"
        if parameters.size and "SIZE" in offered:
            line += f" SIZE={parameters.size}"
        if parameters.body == "BINARYMIME" and "BINARYMIME" in offered:
            line += " BODY=BINARYMIME"
        elif parameters.body != "7BIT" and "8BITMIME" in offered:
            line += " BODY=8BITMIME"
        if parameters.smtputf8 and "SMTPUTF8" in offered:
            line += " SMTPUTF8"
        if parameters.ret and "DSN" in offered:
            line += f" RET={parameters.ret}"
        if parameters.envid and "DSN" in offered:
            line += f" ENVID={encode_xtext(parameters.envid)}"
        if parameters.auth is not None and "AUTH" in offered:
            line += f" AUTH={encode_xtext(parameters.auth) or '<>'}"
        if parameters.requiretls and "REQUIRETLS" in offered:
            line += " REQUIRETLS"
        return self._command(line, Sent("MAIL", path))

    def rcpt_to(self, path: Path, parameters: RcptParameters = NO_RCPT_PARAMETERS) -> bytes:
        """Add a recipient, with the DSN parameters where the peer offers DSN."""
        line = f"RCPT TO:<{path}>"
        if "DSN" in self.extensions.keywords:
            if parameters.notify:
                line += f" NOTIFY={','.join(parameters.notify)}"
            if parameters.orcpt:
                line += f" ORCPT={encode_orcpt(parameters.orcpt)}"
        return self._command(line, Sent("RCPT", path))

    def data(self) -> bytes:
        """Ask for leave to send the message by `content`."""
        self._held = b""
        self._line_begins = True
        return self._command("DATA", _SENT_DATA)

    def content(self, piece: bytes) -> bytes:
        """A piece of the message for DATA: dots stuffed, a bare CR or LF made CRLF (RFC 5321 4.5.2, 2.3.8)."""
        text = self._held + piece
        self._held = b""
        if text.endswith(b"\r"):
            self._held = b"\r"
            text = text[:-1]
        if not text:
            return b""
        dot = b"." if self._line_begins and text.startswith(b".") else b""
        clean, dotted = _look_at_lines(text)
        if not clean:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
            dotted = True
        self._line_begins = text.endswith(b"\r\n")
        if dotted:
            text = text.replace(b"\r\n.", b"\r\n..")
        return dot + text if dot else text

    def end_content(self) -> bytes:
        """The end of the message; the line end before it is added where it lacks."""
        self._due.append(_SENT_CONTENT)
        return b".\r\n" if self._line_begins and not self._held else b"\r\n.\r\n"

    def bdat(self, piece: bytes, last: bool) -> bytes:
        """A piece of the message as a chunk (RFC 3030); every one is answered."""
        line = f"BDAT {len(piece)} LAST" if last else f"BDAT {len(piece)}"
        return self._command(line, Sent("BDAT", last=last)) + piece

    def rset(self) -> bytes:
        return self._command("RSET", Sent("RSET"))

    def noop(self) -> bytes:
        return self._command("NOOP", Sent("NOOP"))

    def quit(self) -> bytes:
        return self._command("QUIT", Sent("QUIT"))

    def _command(self, line: str, sent: Sent) -> bytes:
        octets = line.encode()
        if b"\r" in octets or b"\n" in octets or b"\0" in octets:
            raise ValueError(f"{line!r} would be more than one command")
        self._due.append(sent)
        return octets + b"\r\n"

    # Replies

    def receive_data(self, data: bytes) -> None:
        """Take octets; b'' tells the end of input."""
        if not data:
            self._closed = True
        elif not self._over:
            self._buffer = self._buffer + data if self._buffer else data

    def next_event(self) -> Event | None:
        """What comes next; None when it is not complete yet. After PeerFault and Closed there is nothing more."""
        if self._over:
            return None
        begin = 0
        event: Event | None = None
        while event is None:
            end = self._buffer.find(b"\n", max(begin, self._scanned))
            if end < 0:
                break
            line = self._buffer[begin:end].removesuffix(b"\r")
            begin = end + 1
            event = self._take_line(line)
        if begin:
            self._buffer = self._buffer[begin:]
        self._scanned = 0 if event is not None else len(self._buffer)
        if event is None:
            event = self._incomplete()
        if isinstance(event, PeerFault | Closed):
            self._over = True
            self._buffer = b""
        return event

    def _incomplete(self) -> Event | None:
        if len(self._buffer) > MAX_LINE:
            return PeerFault(f"its reply has a line of more than {MAX_LINE} octets")
        return Closed(len(self._due)) if self._closed else None

    def _take_line(self, line: bytes) -> Event | None:
        match = _REPLY_LINE.fullmatch(line)
        self._reply_size += len(line)
        if match is None:
            return PeerFault(f"its reply is not SMTP: {_printable(line[:80])}")
        if len(line) > MAX_LINE or len(self._lines) >= MAX_LINES or self._reply_size > MAX_REPLY:
            return PeerFault("its reply is too long")
        self._lines.append(match[3] or b"")
        if match[2] == b"-":
            return None
        lines, self._lines, self._reply_size = self._lines, [], 0
        code = int(match[1])
        short = len(lines) == 1 and len(lines[0]) <= _SHORT
        return self._take_reply(_short_reply(code, lines[0]) if short else _make_reply(code, lines))

    def _take_reply(self, reply: Reply) -> Event:
        if not self._due:
            if reply.code == 421:
                return ReplyReceived(reply, Sent(""))
            return PeerFault(f"it said {reply.code} {reply.lines[0][:80]} unasked")
        sent = self._due.popleft()
        if sent.last and self.lmtp and self._accepted:
            # RFC 2033 4.2: as many replies as recipients, known only now if all was pipelined.
            recipients, self._accepted = self._accepted, []
            self._due.extendleft(Sent(sent.verb, path) for path in reversed(recipients))
            sent = self._due.popleft()
        elif sent.verb == "RCPT" and reply.is_success and sent.path is not None:
            self._accepted.append(sent.path)
        elif sent.verb in ("MAIL", "RSET"):
            self._accepted.clear()
        elif sent.verb in ("EHLO", "LHLO") and reply.code == 250:
            self.extensions = parse_extensions(reply)
        elif sent.verb == "AUTH" and reply.is_success:
            if self._mechanism is None or not self._mechanism.complete:
                return PeerFault("it accepted the login without proving that it knows the password")
            self._mechanism = None
        return ReplyReceived(reply, sent)


def _look_at_lines(text: bytes) -> tuple[bool, bool]:
    """Whether CR and LF come in pairs only, and whether a line but the first begins with a dot.

    Searching for patterns of two and three octets takes three times as long.
    """
    lines = text.split(b"\n")
    clean = text.count(b"\r") == len(lines) - 1
    dotted = False
    last = lines.pop()
    for number, line in enumerate(lines):
        if not line.endswith(b"\r"):
            clean = False
        if number and line.startswith(b"."):
            dotted = True
    return clean, dotted or (bool(lines) and last.startswith(b"."))


@functools.lru_cache(maxsize=500)
def _short_reply(code: int, line: bytes) -> Reply:
    """Peers say the same again and again."""
    return _make_reply(code, [line])


def _make_reply(code: int, lines: list[bytes]) -> Reply:
    """The reply with its enhanced code (RFC 2034) taken out of the lines."""
    texts = [_printable(line) for line in lines]
    match = _ENHANCED.match(texts[0])
    if match is None or match[1][0] != str(code)[0]:
        return Reply(code, "", tuple(texts))
    enhanced = match[1]
    prefix = enhanced + " "
    return Reply(
        code, enhanced, tuple("" if text == enhanced else text.removeprefix(prefix) for text in texts)
    )


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)
