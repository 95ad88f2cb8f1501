"""The parameters of MAIL and RCPT (RFC 1870, 3030, 3461, 4954, 6152, 6531, 8689)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mailwright.smtp import replies
from mailwright.smtp.replies import Reply

MAX_ENVID: Final = 100  # characters, RFC 3461 4.4
MAX_ORCPT: Final = 500  # characters, RFC 3461 4.2
MAX_AUTH: Final = 500  # characters, RFC 4954 3

_XTEXT: Final = re.compile(r"(?:[\x21-\x2a\x2c-\x7e]|\+[0-9A-Fa-f]{2})*")
_HEX: Final = re.compile(r"\+([0-9A-Fa-f]{2})")
_UNICODE: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9-]+")
_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_NOTIFY: Final = ("SUCCESS", "FAILURE", "DELAY")


class ParameterFault(ValueError):
    """A parameter that cannot be taken; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.lines[0])
        self.reply = reply


class MailParameters(NamedTuple):
    """What came with MAIL FROM."""

    size: int = 0  # octets announced (RFC 1870); 0: not told
    body: str = "7BIT"  # 7BIT, 8BITMIME or BINARYMIME
    smtputf8: bool = False
    ret: str = ""  # FULL, HDRS or not told (RFC 3461 4.3)
    envid: str = ""  # decoded (RFC 3461 4.4)
    auth: str | None = None  # decoded; '' is `<>`, None not told (RFC 4954 5)
    requiretls: bool = False


class RcptParameters(NamedTuple):
    """What came with RCPT TO."""

    notify: tuple[str, ...] = ()  # NEVER, or some of SUCCESS FAILURE DELAY in this order; (): not told
    orcpt: str = ""  # `type;address`, decoded (RFC 3461 4.2)


NO_MAIL_PARAMETERS: Final = MailParameters()
NO_RCPT_PARAMETERS: Final = RcptParameters()


def parse_mail_parameters(text: str) -> MailParameters:
    """Raises ParameterFault: 501 for a malformed one, 504 for an unknown value, 555 an unknown keyword."""
    size, body, utf8, ret, envid, requiretls = 0, "7BIT", False, "", "", False
    auth: str | None = None
    for keyword, value in _split(text):
        if keyword == "SIZE":
            size = _parse_size(value)
        elif keyword == "BODY":
            body = _choose(keyword, value, ("7BIT", "8BITMIME", "BINARYMIME"))
        elif keyword == "SMTPUTF8" and value is None:
            utf8 = True
        elif keyword == "RET":
            ret = _choose(keyword, value, ("FULL", "HDRS"))
        elif keyword == "ENVID":
            envid = _parse_xtext(keyword, value, MAX_ENVID)
        elif keyword == "AUTH":
            auth = "" if value == "<>" else _parse_xtext(keyword, value, MAX_AUTH)
        elif keyword == "REQUIRETLS" and value is None:
            requiretls = True
        elif keyword in ("SMTPUTF8", "REQUIRETLS"):
            raise _malformed(keyword)
        else:
            raise ParameterFault(replies.unknown_parameter(keyword))
    return MailParameters(size, body, utf8, ret, envid, auth, requiretls)


def parse_rcpt_parameters(text: str) -> RcptParameters:
    """Raises ParameterFault, as `parse_mail_parameters`."""
    notify: tuple[str, ...] = ()
    orcpt = ""
    for keyword, value in _split(text):
        if keyword == "NOTIFY":
            notify = _parse_notify(value or "")
        elif keyword == "ORCPT":
            orcpt = _parse_orcpt(value or "")
        else:
            raise ParameterFault(replies.unknown_parameter(keyword))
    return RcptParameters(notify, orcpt)


def decode_xtext(text: str, limit: int) -> str:
    """RFC 3461 4; '' unless it is at least one character of printable ASCII, and `text` at most `limit` long."""
    if not text or len(text) > limit or _XTEXT.fullmatch(text) is None:
        return ""
    if "+" not in text:
        return text
    decoded = _HEX.sub(lambda match: chr(int(match[1], 16)), text)
    return decoded if decoded.isascii() and decoded.isprintable() else ""


def encode_xtext(text: str) -> str:
    """RFC 3461 4, for a parameter that we send. Non-ASCII characters are sent as they are (RFC 6533 3)."""
    return "".join(
        char if char not in "+=" and char > " " and char != "\x7f" else f"+{ord(char):02X}" for char in text
    )


def encode_orcpt(orcpt: str) -> str:
    """`type;address` as ORCPT has it, in ASCII: the peer may know nothing of UTF-8 (RFC 3461 4.2, RFC 6533 3)."""
    kind, _, address = orcpt.partition(";")
    return f"{kind};{encode_unitext(address) if kind.lower() == 'utf-8' else encode_xtext(address)}"


def encode_unitext(address: str) -> str:
    """An address of type utf-8 in ASCII, with `\\x{FC}` for what ORCPT cannot hold (RFC 6533 3)."""
    return "".join(
        char if "!" <= char <= "~" and char not in "+=\\" else f"\\x{{{ord(char):X}}}" for char in address
    )


def _malformed(keyword: str) -> ParameterFault:
    return ParameterFault(replies.parameter_syntax(keyword))


def _split(text: str) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    seen: set[str] = set()
    for word in text.split(" "):
        if not word:
            continue  # more than one space is a mistake too common to refuse
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if _KEYWORD.fullmatch(keyword) is None:
            raise ParameterFault(replies.PARAMETER_SYNTAX)
        if keyword in seen or (equals and not value):
            raise _malformed(keyword)
        seen.add(keyword)
        pairs.append((keyword, value if equals else None))
    return pairs


def _parse_size(value: str | None) -> int:
    # RFC 1870 3: up to twenty digits.
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 20:
        raise _malformed("SIZE")
    return int(value)


def _parse_xtext(keyword: str, value: str | None, limit: int) -> str:
    decoded = decode_xtext(value or "", limit)
    if not decoded:
        raise _malformed(keyword)
    return decoded


def _choose(keyword: str, value: str | None, choices: tuple[str, ...]) -> str:
    if value is None:
        raise _malformed(keyword)
    chosen = value.upper()
    if chosen not in choices:
        raise ParameterFault(replies.unsupported_value(keyword, value))
    return chosen


def _parse_notify(value: str) -> tuple[str, ...]:
    words = value.upper().split(",")
    if words == ["NEVER"]:
        return ("NEVER",)
    if not all(word in _NOTIFY for word in words):
        raise _malformed("NOTIFY")
    return tuple(word for word in _NOTIFY if word in words)


def _parse_orcpt(value: str) -> str:
    kind, semicolon, address = value.partition(";")
    if not semicolon or _ADDRESS_TYPE.fullmatch(kind) is None or not address or len(value) > MAX_ORCPT:
        raise _malformed("ORCPT")
    if kind.lower() == "utf-8":
        return f"{kind};{_decode_unitext(address)}"
    return f"{kind};{_parse_xtext('ORCPT', address, MAX_ORCPT)}"


def _decode_unitext(text: str) -> str:
    r"""An address of type utf-8, as it is or with `\x{20AC}` for a character (RFC 6533 3)."""
    points = [int(digits, 16) for digits in _UNICODE.findall(text)]
    if any(point > 0x10FFFF or 0xD800 <= point <= 0xDFFF or point < 0x20 for point in points):
        raise _malformed("ORCPT")
    return _UNICODE.sub(lambda match: chr(int(match[1], 16)), text)
