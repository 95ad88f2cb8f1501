"""TLS-RPT records, sums and reports."""

from __future__ import annotations

import email
import email.policy
import gzip
import json
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.mailauth.tlsrpt.record import parse_records, record_name
from mailwright.mailauth.tlsrpt.report import Report, compress, file_name, to_json, to_mail
from mailwright.mailauth.tlsrpt.results import MAX_DETAILS, AppliedPolicy, SessionResult, summarize

STS = AppliedPolicy(
    "sts", "company-y.example", ("version: STSv1", "mode: testing"), ("*.mail.company-y.example",)
)
TLSA = AppliedPolicy("tlsa", "company-y.example", ("3 1 1 00ff",), ("mx.company-y.example",))


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([b"v=TLSRPTv1;rua=mailto:reports@example.com"], ("mailto:reports@example.com",)),  # RFC 8460 3.1.1
        (
            [b"v=TLSRPTv1 ; rua = https://reporting.example.com/v1/tlsrpt , mailto:a%2Cb@EXAMPLE.com ;x=1"],
            ("https://reporting.example.com/v1/tlsrpt",),
        ),
        ([b"v=TLSRPTv1; rua=MAILTO:a%2Bb@example.com?subject=x"], ("mailto:a+b@example.com",)),
        ([b"v=spf1 -all", b"v=TLSRPTv1;rua=mailto:a@b.example"], ("mailto:a@b.example",)),
        ([b"v=TLSRPTv1;rua=mailto:a@b.example", b"v=TLSRPTv1;rua=mailto:c@b.example"], ()),
        ([b"v=TLSRPTv12;rua=mailto:a@b.example"], ()),
        ([b"v=TLSRPTv1"], ()),
        ([b"v=TLSRPTv1; rua="], ()),
        ([b"v=TLSRPTv1; rua=http://b.example/,ftp://b.example,a@b.example"], ()),
        ([b"v=TLSRPTv1; rua=mailto:a@b..example,mailto:@b.example,mailto:a,mailto:a%0D%0Ab@b.example"], ()),
        ([b"v=TLSRPTv1; rua=https://u:p@b.example/,https:///x,https://b.example:x/,https://[::1/"], ()),
        ([b"v=TLSRPTv1; rua=mailto:\xff@b.example"], ()),
        ([], ()),
    ],
)
def test_records(texts: list[bytes], found: tuple[str, ...]) -> None:
    assert parse_records(texts) == found


def test_where_to_look_and_how_many_are_served() -> None:
    assert record_name("example.com") == "_smtp._tls.example.com"
    many = b",".join(b"mailto:a%d@b.example" % index for index in range(100_000))
    assert len(parse_records([b"v=TLSRPTv1;rua=" + many])) == 8


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text("mailto:hps/@,;%0Da.b[]", max_size=40).map(str.encode))
def test_any_record_gives_sound_destinations(text: bytes) -> None:
    for destination in parse_records([b"v=TLSRPTv1;rua=" + text]):
        assert destination.isascii()
        assert destination.isprintable()
        assert destination.lower().startswith(("mailto:", "https://"))


def test_sessions_are_summed_by_policy_and_kind() -> None:
    expired = SessionResult(STS, "certificate-expired", "mx1", "192.0.2.1", count=100)
    plain = SessionResult(STS, "starttls-not-supported", "mx2", "192.0.2.2")
    sts, tlsa = summarize(
        [SessionResult(STS, count=5000), plain, expired, SessionResult(TLSA), plain, SessionResult(STS)]
    )
    assert (sts.policy, sts.successes, sts.failures) == (STS, 5001, 102)
    assert [(detail.result, detail.count) for detail in sts.details] == [
        ("certificate-expired", 100),
        ("starttls-not-supported", 2),
    ]
    assert (tlsa.successes, tlsa.failures, tlsa.details) == (1, 0, ())
    assert summarize([]) == ()


def test_a_report_stays_small_whatever_failed() -> None:
    results = [SessionResult(STS, "validation-failure", reason=f"reason {index}") for index in range(5000)]
    (summary,) = summarize(results)
    assert summary.failures == 5000
    assert len(summary.details) == MAX_DETAILS + 1
    assert (summary.details[0].count, summary.details[0].reason) == (5000 - MAX_DETAILS, "")


def report() -> Report:
    details = SessionResult(
        STS, "certificate-expired", "mx1.mail.company-y.example", "203.0.113.9", "", "2001:db8::2", "ended", 3
    )
    return Report(
        organization="Company-X – Überall",
        contact="sts-reporting@company-x.example",
        report_id="5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        domain="company-y.example",
        submitter="mail.company-x.example",
        start=1_459_468_800,
        end=1_459_555_199,
        policies=summarize([details, SessionResult(STS, count=9)]),
    )


def test_the_json_of_rfc_8460_4_4() -> None:
    assert json.loads(to_json(report())) == {
        "organization-name": "Company-X – Überall",
        "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: testing"],
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"],
                },
                "summary": {"total-successful-session-count": 9, "total-failure-session-count": 3},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8::2",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "receiving-ip": "203.0.113.9",
                        "failure-reason-code": "ended",
                        "failed-session-count": 3,
                    }
                ],
            }
        ],
    }


def test_the_mail_of_rfc_8460_5_3() -> None:
    octets = to_mail(
        report(),
        "tlsrpt@company-x.example",
        ["reports@company-y.example"],
        1_459_555_200,
        "1@company-x.example",
        "b42",
    )
    assert octets.count(b"\n") == octets.count(b"\r\n")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["TLS-Report-Domain"] == "company-y.example"
    assert message["TLS-Report-Submitter"] == "mail.company-x.example"
    assert message["TLS-Required"] == "No"
    assert b"\r\nDate: Sat, 2 Apr 2016 00:00:00 +0000\r\n" in octets
    assert message["Subject"] == (
        "Report Domain: company-y.example Submitter: mail.company-x.example"
        " Report-ID: <5065427c-23d3-47ca-b6e0-946ea0e8c4be>"
    )
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "tlsrpt"
    text, attached = message.iter_parts()
    assert "Failed sessions: 3" in text.get_content()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == file_name(report())
    assert file_name(report()) == "mail.company-x.example!company-y.example!1459468800!1459555199.json.gz"
    assert gzip.decompress(attached.get_content()) == to_json(report())
    assert compress(to_json(report())) == attached.get_content()
