"""Delivery reports (RFC 3461, RFC 3464, RFC 6522, RFC 6533): who gets which, and how they read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mailwright.base.domain import to_unicode
from mailwright.message import builder
from mailwright.message.address import Address
from mailwright.message.date import format_date
from mailwright.message.header import decode_header, iterate_fields
from mailwright.queue.dsn_texts import Words, words
from mailwright.queue.values import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    Message,
    Outcome,
    Recipient,
    Result,
)
from mailwright.smtp.syntax.parameters import encode_unitext

FAILED: Final = "failed"
DELAYED: Final = "delayed"
DELIVERED: Final = "delivered"
EXPANDED: Final = "expanded"
RELAYED: Final = "relayed"

MAX_RETURNED: Final = 64 * 1024  # octets of a message that a report gives back whole
MAX_HEADER: Final = 64 * 1024  # octets of a header that a report gives back
MAX_RECIPIENTS: Final = 25  # in one report, so that it stays below 256 KiB whatever they and the replies are
_MAX_TEXT: Final = 500  # characters of a reply or an address
_MAX_READ: Final = 2000  # characters of a reply in which its cause is looked for

Outcomes = Sequence[tuple[Recipient, Result]]

_ACTIONS: Final = {
    Outcome.FAILED: FAILED,
    Outcome.DEFERRED: DELAYED,
    Outcome.DELIVERED: DELIVERED,
    Outcome.EXPANDED: EXPANDED,
    Outcome.RELAYED: RELAYED,
    Outcome.SENT: "",  # the next host reports
}
_ASKED: Final = {
    FAILED: NOTIFY_FAILURE,
    DELAYED: NOTIFY_DELAY,
    DELIVERED: NOTIFY_SUCCESS,
    EXPANDED: NOTIFY_SUCCESS,
    RELAYED: NOTIFY_SUCCESS,
}


@dataclass(frozen=True)
class Origin:
    """Who reports: our host name, and where questions go."""

    hostname: str
    postmaster: str


@dataclass(frozen=True)
class Report:
    """One report to be sent to the reverse-path of `message`."""

    action: str
    message: Message
    outcomes: tuple[tuple[Recipient, Result], ...]


def plan_reports(message: Message, outcomes: Outcomes) -> list[Report]:
    """The reports that these outcomes call for: one for each action, more when there are many recipients.

    None for a null reverse-path: never a bounce for a bounce (RFC 5321 4.5.5). NOTIFY decides per recipient;
    without it failures and delays are told (RFC 3461 4.1).
    """
    if not message.reverse_path:
        return []
    groups: dict[str, list[tuple[Recipient, Result]]] = {}
    for recipient, result in outcomes:
        action = _ACTIONS[result.outcome]
        if action and _is_wanted(recipient.notify, action) and not (action == DELAYED and recipient.warned):
            groups.setdefault(action, []).append((recipient, result))
    return [
        Report(action, message, tuple(group[start : start + MAX_RECIPIENTS]))
        for action, group in groups.items()
        for start in range(0, len(group), MAX_RECIPIENTS)
    ]


def _is_wanted(notify: int, action: str) -> bool:
    if notify & NOTIFY_NEVER:
        return False
    return bool(notify & _ASKED[action]) if notify else action in (FAILED, DELAYED)


def returns_content(report: Report) -> bool:
    """Whether the report carries the whole message rather than its header.

    Only of a failure (RFC 3461 4.3), never what required TLS (RFC 8689 5), and nothing binary, which few could be sent.
    """
    message = report.message
    wanted = report.action == FAILED and message.ret != "HDRS" and message.size <= MAX_RETURNED
    return wanted and not message.requiretls and message.body != "BINARYMIME"


def is_global(report: Report) -> bool:
    """Whether the report itself needs SMTPUTF8 (RFC 6533)."""
    texts = [report.message.reverse_path]
    for recipient, _ in report.outcomes:
        texts += (recipient.address, recipient.orcpt)
    return report.message.smtputf8 and not all(text.isascii() for text in texts)


def build(
    report: Report, original: bytes, origin: Origin, at: float, *, message_id: str, boundary: str
) -> bytes:
    """The whole report. `original` is the message if `returns_content`, or at least its header.

    `message_id` (without <>) and `boundary` have to be unique.
    """
    message = report.message
    said = words(message.language)
    header = _header_of(original)
    subject = _field(header, b"subject") or said.no_subject
    whole = returns_content(report)
    utf8 = message.smtputf8 and not header.isascii()  # RFC 6532 3.7
    parts = [
        builder.text_part(_human_part(report, said, subject, header)),
        _status_part(report, origin, at),
        _original_part(original if whole else header, whole=whole, utf8=utf8),
    ]
    local, _, domain = message.reverse_path.rpartition("@")
    fields = [
        # A reply is to reach a person (RFC 3464 2).
        builder.address_header("From", [Address(said.sender_name, "postmaster", origin.hostname)]),
        builder.address_header("To", [Address("", local, domain)]),
        builder.header("Subject", said.subjects[report.action].format(subject=subject[:200])),
        builder.header("Date", format_date(int(at))),
        builder.header("Message-ID", f"<{message_id}>"),
        *_references(header),
        builder.header("Auto-Submitted", "auto-replied"),  # RFC 3834 3.1.7
        builder.header("Content-Language", "zh" if said is words("zh") else "en"),
    ]
    return builder.build(
        fields, builder.multipart("report", parts, boundary, [("report-type", "delivery-status")])
    )


def _header_of(original: bytes) -> bytes:
    end = original.find(b"\r\n\r\n")
    header = original if end < 0 else original[: end + 2]
    if len(header) > MAX_HEADER:
        header = header[: header.rfind(b"\r\n", 0, MAX_HEADER) + 2]
    return header


def _field(header: bytes, name: bytes) -> str:
    for field in iterate_fields(header):
        if field.name == name:
            return decode_header(header[field.value_start : field.value_end])
    return ""


def _references(header: bytes) -> list[bytes]:
    message_id = _field(header, b"message-id")
    if not message_id or len(message_id) > 250 or not message_id.isascii() or " " in message_id:
        return []
    return [builder.header("In-Reply-To", message_id), builder.header("References", message_id)]


# The part for people


def _human_part(report: Report, said: Words, subject: str, header: bytes) -> str:
    lines = [said.openings[report.action], ""]
    for recipient, result in report.outcomes:
        lines.append(f"    {recipient.address}")
        if report.action in (FAILED, DELAYED):
            lines += _explain(report, said, recipient, result)
        lines.append("")
    if report.action == DELAYED:
        lines += [said.until.format(date=format_date(int(report.message.expires_at))), ""]
    lines.append(said.about.format(subject=subject))
    date = _field(header, b"date")
    if date:
        lines.append(said.date.format(date=date))
    lines += ["", said.attached]
    return "\r\n".join(line.rstrip() for line in lines) + "\r\n"


def _explain(report: Report, said: Words, recipient: Recipient, result: Result) -> list[str]:
    cause = said.causes[find_cause(result)]
    domain = to_unicode(recipient.address.rpartition("@")[2])
    octets = _octets(report.message.size)
    lines = [
        f"      {label}: {text.format(domain=domain, size=octets)}"
        for label, text in ((said.what, cause.what), (said.whose, cause.whose), (said.remedy, cause.remedy))
    ]
    if result.text:
        text = _one_line(result.text)
        lines.append("      " + (said.said.format(host=result.host, text=text) if result.host else text))
    return lines


def _octets(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{max(1, size // 1000)} kB"


_REPUTATION: Final = re.compile(
    r"spam|block|black ?list|\blist(?:ed|ing)\b|reputation|rbl|dnsbl|denylist", re.I
)

# The first row that fits decides: phase ('' any), pattern over the status, cause.
_CAUSES: Final = (
    ("expired", re.compile(""), "expired"),
    ("", re.compile(r"5\.1\.(?:1|3|6)$"), "unknown-user"),
    ("", re.compile(r"5\.1\.10$"), "no-mail"),
    ("dns", re.compile(r"5\."), "no-domain"),
    ("", re.compile(r"5\.(?:1\.2|4\.4)$"), "no-domain"),
    ("dns", re.compile(r"4\."), "dns"),
    ("", re.compile(r"4\.4\.3$"), "dns"),
    ("", re.compile(r"[45]\.2\.1$"), "disabled"),
    ("", re.compile(r"[45]\.2\.2$"), "full"),
    ("", re.compile(r"[45]\.(?:2\.3|3\.4)$"), "too-large"),
    ("", re.compile(r"[45]\.4\.6$"), "loop"),
    ("", re.compile(r"[45]\.6\.[79]$"), "international"),
    ("", re.compile(r"[45]\.6\."), "conversion"),
    ("auth", re.compile(""), "login"),
    ("tls", re.compile(""), "tls"),
    ("", re.compile(r"[45]\.7\.(?:4|5|10|30)$"), "tls"),
    ("", re.compile(r"[45]\.7\.2[0-9]$"), "authentication"),
    ("connect", re.compile(""), "no-answer"),
    ("", re.compile(r"[45]\.4\.[127]$"), "no-answer"),
    ("", re.compile(r"4\."), "busy"),
    ("", re.compile(r"5\.7\."), "refused"),
)


def find_cause(result: Result) -> str:
    """The key of the cause in the tables of words."""
    text = result.text[:_MAX_READ]
    for phase, status, cause in _CAUSES:
        if phase in ("", result.phase) and status.match(result.status) is not None:
            if cause in ("refused", "busy") and _REPUTATION.search(text) is not None:
                return "reputation"
            return cause
    return "reputation" if _REPUTATION.search(text) is not None else "other"


# The part for programs


def _status_part(report: Report, origin: Origin, at: float) -> bytes:
    message = report.message
    utf8 = is_global(report)
    groups = [
        [
            *((("Original-Envelope-Id", _one_line(message.envid)),) if message.envid else ()),
            ("Reporting-MTA", f"dns; {origin.hostname}"),
            ("Arrival-Date", format_date(int(message.received_at))),
        ]
    ]
    groups += [
        _recipient_fields(report, recipient, result, at, utf8=utf8) for recipient, result in report.outcomes
    ]
    text = "\r\n".join("".join(f"{name}: {value}\r\n" for name, value in group) for group in groups)
    body = text.encode("utf-8")
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    encoding = b"7bit" if body.isascii() else b"8bit"
    return builder.content_type(kind) + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body


def _recipient_fields(
    report: Report, recipient: Recipient, result: Result, at: float, *, utf8: bool
) -> list[tuple[str, str]]:
    """RFC 3464 2.3."""
    fields: list[tuple[str, str]] = []
    if recipient.orcpt:
        fields.append(("Original-Recipient", _typed(_one_line(recipient.orcpt), utf8=utf8)))
    kind = "rfc822" if recipient.address.isascii() else "utf-8"
    fields.append(("Final-Recipient", _typed(f"{kind};{recipient.address}", utf8=utf8)))
    fields.append(("Action", report.action))
    fields.append(("Status", _status(report.action, result.status)))
    if result.host:
        fields.append(("Remote-MTA", f"dns; {_field_text(result.host, utf8=utf8)}"))
    if result.code:
        fields.append(("Diagnostic-Code", f"smtp; {_field_text(result.text, utf8=utf8)}"))
    elif result.text:
        fields.append(("Diagnostic-Code", f"x-mailwright; {_field_text(result.text, utf8=utf8)}"))
    fields.append(("Last-Attempt-Date", format_date(int(at))))
    if report.message.id:
        fields.append(("Final-Log-ID", str(report.message.id)))
    if report.action == DELAYED:
        fields.append(("Will-Retry-Until", format_date(int(report.message.expires_at))))
    return fields


def _status(action: str, status: str) -> str:
    """The class of the status agrees with the action (RFC 3464 2.3.4)."""
    good = {FAILED: "45", DELAYED: "4"}.get(action, "2")
    return status if re.fullmatch(rf"[{good}]\.\d{{1,3}}\.\d{{1,3}}", status) else f"{good[-1]}.0.0"


def _typed(orcpt: str, *, utf8: bool) -> str:
    kind, _, address = orcpt.partition(";")
    if kind.lower() == "utf-8" and not utf8:
        address = encode_unitext(address)
    return f"{kind.strip()}; {_field_text(address.strip(), utf8=utf8)}"


def _field_text(text: str, *, utf8: bool) -> str:
    line = _one_line(text)
    return line if utf8 else line.encode("ascii", "replace").decode("ascii")


def _one_line(text: str) -> str:
    """Of its beginning: a reply may be long."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT]).split())


# The original


def _original_part(original: bytes, *, whole: bool, utf8: bool) -> bytes:
    if whole:
        return builder.message_part(original, "message/global" if utf8 else "message/rfc822")
    kind = "message/global-headers" if utf8 else "text/rfc822-headers"
    return builder.message_part(original, kind)
