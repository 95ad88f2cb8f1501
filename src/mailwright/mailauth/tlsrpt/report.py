"""The report as JSON, compressed, and as a message (RFC 8460 4, 5)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mailwright.mailauth.tlsrpt.results import PolicySummary, SessionResult
from mailwright.message.builder import attachment, build, header, multipart, text_part
from mailwright.message.date import format_date

CONTENT_TYPE: Final = (
    "application/tlsrpt+gzip"  # of `compress`'s result, for an HTTPS POST too (RFC 8460 5.4)
)


@dataclass(frozen=True)
class Report:
    """One day of one domain. Times are in seconds since 1970, UTC; the end is the last second of the day."""

    organization: str
    contact: str  # a mail address
    report_id: str  # unique: `time.number@domain`, or a UUID
    domain: str  # the policy domain
    submitter: str  # our host name
    start: int
    end: int
    policies: tuple[PolicySummary, ...]


def to_json(report: Report) -> bytes:
    """The report of RFC 8460 4.4."""
    document = {
        "organization-name": report.organization,
        "date-range": {"start-datetime": _rfc3339(report.start), "end-datetime": _rfc3339(report.end)},
        "contact-info": report.contact,
        "report-id": report.report_id,
        "policies": [_policy(summary) for summary in report.policies],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def compress(data: bytes) -> bytes:
    """The JSON in gzip, without a time in it: equal reports give equal octets."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    return deflater.compress(data) + deflater.flush()


def file_name(report: Report) -> str:
    """The attachment's name (RFC 8460 5.1)."""
    return f"{report.submitter}!{report.domain}!{report.start}!{report.end}.json.gz"


def to_mail(
    report: Report, sender: str, recipients: Sequence[str], date: int, message_id: str, boundary: str
) -> bytes:
    """The report as a message (RFC 8460 5.3), to be DKIM-signed by the sender's domain.

    `date` is in seconds since 1970; `message_id` comes without angle brackets; `boundary` has to be random.
    TLS-Required lets it pass where TLS is what is broken (RFC 8689 5).
    """
    fields = [
        header("From", f"<{sender}>"),
        header("To", ", ".join(f"<{address}>" for address in recipients)),
        header("Date", format_date(date)),
        header("Message-ID", f"<{message_id}>"),
        header(
            "Subject",
            f"Report Domain: {report.domain} Submitter: {report.submitter} Report-ID: <{report.report_id}>",
        ),
        header("TLS-Report-Domain", report.domain),
        header("TLS-Report-Submitter", report.submitter),
        header("TLS-Required", "No"),
        header("Auto-Submitted", "auto-generated"),
    ]
    parts = [
        text_part(_words(report)),
        attachment(compress(to_json(report)), CONTENT_TYPE, file_name(report)),
    ]
    return build(fields, multipart("report", parts, boundary, [("report-type", "tlsrpt")]))


def _words(report: Report) -> str:
    """The first part, for a person."""
    successes = sum(summary.successes for summary in report.policies)
    failures = sum(summary.failures for summary in report.policies)
    return (
        f"This is an aggregate TLS report from {report.organization} about mail to {report.domain},\n"
        f"from {_rfc3339(report.start)} to {_rfc3339(report.end)}.\n\n"
        f"Successful sessions: {successes}\nFailed sessions: {failures}\n\n"
        f"The attachment has the details. Questions: {report.contact}\n"
    )


def _policy(summary: PolicySummary) -> dict[str, object]:
    policy: dict[str, object] = {
        "policy-type": summary.policy.kind,
        "policy-string": list(summary.policy.strings),
        "policy-domain": summary.policy.domain,
    }
    if summary.policy.mx_hosts:
        policy["mx-host"] = list(summary.policy.mx_hosts)
    result: dict[str, object] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": summary.successes,
            "total-failure-session-count": summary.failures,
        },
    }
    if summary.details:
        result["failure-details"] = [_detail(detail) for detail in summary.details]
    return result


def _detail(detail: SessionResult) -> dict[str, object]:
    texts = {
        "sending-mta-ip": detail.sending_ip,
        "receiving-mx-hostname": detail.receiving_host,
        "receiving-mx-helo": detail.receiving_helo,
        "receiving-ip": detail.receiving_ip,
        "failure-reason-code": detail.reason,
    }
    result: dict[str, object] = {"result-type": detail.result}
    result.update({key: text for key, text in texts.items() if text})
    result["failed-session-count"] = detail.count
    return result


def _rfc3339(seconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
