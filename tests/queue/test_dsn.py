"""Delivery reports: who gets which, what they say to people and to programs."""

from __future__ import annotations

import email
import email.policy
import time
from email.message import EmailMessage
from email.message import Message as StdlibMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.queue import dsn, dsn_texts
from mailwright.queue.reports import LARGEST
from mailwright.queue.values import Message, Outcome, Recipient, Result, notify_to_text, parse_notify

NOW = 1_800_000_000.0
ORIGIN = dsn.Origin("mx.us.example", "postmaster@us.example")
ORIGINAL = (
    b"From: Alice <alice@us.example>\r\nTo: bob@b.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <1@us.example>\r\n\r\nHello Bob\r\n"
)
UNKNOWN = Result(
    Outcome.FAILED, "rcpt", "5.1.1", "550 5.1.1 <bob@b.example>: no such user", 550, "mx.b.example"
)
BUSY = Result(Outcome.DEFERRED, "rcpt", "4.2.0", "450 4.2.0 greylisted, come again", 450, "mx.b.example")


def message(**changes: object) -> Message:
    values: dict[str, object] = {
        "id": 42, "account": 1, "blob": 1, "size": len(ORIGINAL), "reverse_path": "alice@us.example", "envid": "",
        "ret": "", "body": "7BIT", "smtputf8": False, "requiretls": False, "language": "en",
        "received_at": NOW - 7200, "expires_at": NOW + 86400,
    }  # fmt: skip
    return Message(**(values | changes))  # type: ignore[arg-type]


def recipient(
    address: str = "bob@b.example", notify: str = "", orcpt: str = "", *, warned: bool = False
) -> Recipient:
    return Recipient(0, address, orcpt, parse_notify(notify), 1, warned)


def report(result: Result, notify: str = "", **changes: object) -> list[dsn.Report]:
    return dsn.plan_reports(message(**changes), [(recipient(notify=notify), result)])


def build(made: dsn.Report, original: bytes = ORIGINAL) -> bytes:
    return dsn.build(made, original, ORIGIN, NOW, message_id="r1@mx.us.example", boundary="=_b")


def parse(octets: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def status_groups(parsed: EmailMessage) -> list[StdlibMessage]:
    part = list(parsed.iter_parts())[1]
    groups = part.get_payload()
    assert isinstance(groups, list)
    return groups  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("outcome", "notify", "actions"),
    [
        (Outcome.FAILED, "", ["failed"]),
        (Outcome.FAILED, "FAILURE,DELAY", ["failed"]),
        (Outcome.FAILED, "SUCCESS", []),
        (Outcome.FAILED, "NEVER", []),
        (Outcome.DEFERRED, "", ["delayed"]),
        (Outcome.DEFERRED, "DELAY", ["delayed"]),
        (Outcome.DEFERRED, "FAILURE", []),
        (Outcome.RELAYED, "SUCCESS", ["relayed"]),
        (Outcome.RELAYED, "", []),
        (Outcome.DELIVERED, "SUCCESS,FAILURE", ["delivered"]),
        (Outcome.SENT, "SUCCESS", []),
        (Outcome.EXPANDED, "SUCCESS", ["expanded"]),
    ],
)
def test_who_gets_which(outcome: Outcome, notify: str, actions: list[str]) -> None:
    result = Result(outcome, "content", "2.0.0", "ok", 250)
    assert [made.action for made in report(result, notify)] == actions


def test_never_a_report_for_a_report() -> None:
    assert not report(UNKNOWN, reverse_path="")
    assert not report(UNKNOWN, "SUCCESS,FAILURE,DELAY", reverse_path="")


def test_a_delay_is_told_once() -> None:
    assert not dsn.plan_reports(message(), [(recipient(warned=True), BUSY)])


def test_one_report_for_all_recipients_with_the_same_action() -> None:
    outcomes = [(recipient(f"x{n}@b.example"), UNKNOWN if n % 2 else BUSY) for n in range(6)]
    made = dsn.plan_reports(message(), outcomes)
    assert [(r.action, len(r.outcomes)) for r in made] == [("delayed", 3), ("failed", 3)]


def test_a_failure_reads_plainly_and_first() -> None:
    (made,) = report(UNKNOWN)
    parsed = parse(build(made))
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert parsed["Subject"] == "Not delivered: Grüße"
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["References"] == "<1@us.example>"
    human, status, original = parsed.iter_parts()
    text = human.get_content()
    assert "There is no such mailbox at b.example." in text
    assert "Check the spelling" in text
    assert "mx.b.example said: 550 5.1.1" in text
    assert status.get_content_type() == "message/delivery-status"
    assert original.get_content_type() == "message/rfc822"


def test_the_fields_for_programs() -> None:
    asked = recipient(notify="FAILURE", orcpt="rfc822;Bob@old.example")
    (made,) = dsn.plan_reports(message(envid="E+1"), [(asked, UNKNOWN)])
    about, who = status_groups(parse(build(made)))
    assert about["Original-Envelope-Id"] == "E+1"
    assert about["Reporting-MTA"] == "dns; mx.us.example"
    assert who["Original-Recipient"] == "rfc822; Bob@old.example"
    assert who["Final-Recipient"] == "rfc822; bob@b.example"
    assert who["Action"] == "failed"
    assert who["Status"] == "5.1.1"
    assert who["Remote-MTA"] == "dns; mx.b.example"
    assert who["Diagnostic-Code"].startswith("smtp; 550 5.1.1")
    assert who["Final-Log-ID"] == "42"
    assert who["Will-Retry-Until"] is None


def test_addresses_in_a_report_that_is_in_ascii() -> None:
    forwarded = recipient("jürgen@b.example", orcpt="utf-8;bärbel@old.example")
    (made,) = dsn.plan_reports(message(), [(forwarded, UNKNOWN)])
    who = status_groups(parse(build(made)))[1]
    assert who["Original-Recipient"] == r"utf-8; b\x{E4}rbel@old.example"  # RFC 6533 3
    assert who["Final-Recipient"] == r"utf-8; j\x{FC}rgen@b.example"


def test_a_delay_says_until_when_and_gives_the_header_only() -> None:
    (made,) = report(BUSY, ret="FULL")
    parsed = parse(build(made))
    assert status_groups(parsed)[1]["Will-Retry-Until"] is not None
    assert status_groups(parsed)[1]["Status"] == "4.2.0"
    assert [part.get_content_type() for part in parsed.iter_parts()][2] == "text/rfc822-headers"
    assert b"Hello Bob" not in build(made)


def test_ret_and_size_decide_what_is_given_back() -> None:
    assert b"Hello Bob" in build(report(UNKNOWN, ret="FULL")[0])
    assert b"Hello Bob" not in build(report(UNKNOWN, ret="HDRS")[0])
    (large,) = report(UNKNOWN, ret="FULL", size=10_000_000)
    assert not dsn.returns_content(large)
    (binary,) = report(UNKNOWN, ret="FULL", body="BINARYMIME")
    assert not dsn.returns_content(binary)
    (secret,) = report(UNKNOWN, ret="FULL", requiretls=True)
    assert not dsn.returns_content(secret)  # RFC 8689 5


def test_the_status_agrees_with_the_action() -> None:
    strange = Result(Outcome.FAILED, "rcpt", "2.0.0", "550 no", 550)
    assert status_groups(parse(build(report(strange)[0])))[1]["Status"] == "5.0.0"


def test_chinese_for_who_reads_chinese() -> None:
    parsed = parse(build(report(UNKNOWN, language="zh-CN")[0]))
    assert parsed["Subject"] == "未能送达：Grüße"
    assert parsed["Content-Language"] == "zh"
    text = next(parsed.iter_parts()).get_content()
    assert "b.example 没有这个邮箱。" in text
    assert "您可以做什么" in text


def test_every_language_has_every_text() -> None:
    english = dsn_texts.ENGLISH
    for table in dsn_texts.LANGUAGES.values():
        assert table.causes.keys() == english.causes.keys()
        assert table.subjects.keys() == english.subjects.keys() == table.openings.keys()
        for cause in table.causes.values():
            for text in cause:
                text.format(domain="b.example", size="1 kB")


def test_a_report_about_an_international_address() -> None:
    address = "用户@b.example"
    sender = "张三@us.example"
    asked = message(smtputf8=True, reverse_path=sender)
    (made,) = dsn.plan_reports(asked, [(recipient(address), UNKNOWN)])
    octets = build(made)
    assert dsn.is_global(made)
    assert b"Content-Type: message/global-delivery-status" in octets
    assert f"Final-Recipient: utf-8; {address}\r\n".encode() in octets
    assert f"\r\nTo: {sender}\r\n".encode() in octets


@pytest.mark.parametrize(("ret", "kind"), [("FULL", "message/global"), ("HDRS", "message/global-headers")])
def test_a_message_whose_header_is_in_utf8_is_returned_as_such(ret: str, kind: str) -> None:
    """Also when its addresses are in ASCII, so that the report itself goes anywhere."""
    (made,) = report(UNKNOWN, smtputf8=True, ret=ret)
    original = "Subject: Grüße\r\n\r\nHello\r\n".encode()
    assert f"Content-Type: {kind}\r\n".encode() in build(made, original)
    assert b"Content-Type: message/delivery-status\r\n" in build(made, original)
    assert not dsn.is_global(made)
    assert b"message/global" not in build(made)


@pytest.mark.parametrize(
    ("phase", "status", "text", "cause"),
    [
        ("rcpt", "5.1.1", "550 unknown", "unknown-user"),
        ("dns", "5.1.2", "no such domain", "no-domain"),
        ("dns", "5.1.10", "null MX", "no-mail"),
        ("dns", "4.4.3", "SERVFAIL", "dns"),
        ("connect", "4.4.1", "timed out", "no-answer"),
        ("content", "4.4.2", "connection lost", "no-answer"),
        ("tls", "4.7.5", "certificate has expired", "tls"),
        ("rcpt", "5.2.2", "552 full", "full"),
        ("mail", "5.3.4", "552 too big", "too-large"),
        ("content", "5.7.1", "554 message refused", "refused"),
        ("content", "5.7.1", "554 looks like spam", "reputation"),
        ("rcpt", "5.7.1", "550 listed at a blocklist", "reputation"),
        ("content", "5.7.26", "550 DMARC", "authentication"),
        ("auth", "4.7.8", "535 bad credentials", "login"),
        ("rcpt", "5.4.6", "554 too many hops", "loop"),
        ("mail", "5.6.7", "no SMTPUTF8", "international"),
        ("rcpt", "4.7.1", "450 greylisted", "busy"),
        ("expired", "5.4.7", "450 greylisted", "expired"),
        ("rcpt", "5.0.0", "550 no", "other"),
    ],
)
def test_the_cause_is_told_from_phase_and_status(phase: str, status: str, text: str, cause: str) -> None:
    assert dsn.find_cause(Result(Outcome.FAILED, phase, status, text)) == cause


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400), st.text(max_size=80), st.text(max_size=40), st.sampled_from(["FULL", "HDRS", ""])
)
def test_hostile_content_never_breaks_a_report(original: bytes, text: str, orcpt: str, ret: str) -> None:
    result = Result(Outcome.FAILED, "rcpt", text[:9], text, 550, text)
    (made,) = dsn.plan_reports(message(ret=ret), [(recipient(orcpt=orcpt), result)])
    octets = build(made, original)
    parsed = email.message_from_bytes(octets)
    assert parsed.get_content_type() == "multipart/report"
    assert len(parsed.get_payload()) == 3
    head = octets.split(b"\r\n\r\n", 1)[0]
    assert b"\nBcc" not in head
    assert all(line[:1] in b" \t" or b":" in line for line in head.split(b"\r\n"))


def test_the_words_of_notify_go_both_ways() -> None:
    assert notify_to_text(parse_notify("success, DELAY,what")) == "SUCCESS,DELAY"
    assert parse_notify("") == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_worst_recipients_and_replies_make_no_large_report(language: str) -> None:
    outcomes = [
        (
            recipient("x" * 64 + str(n) + "@" + "d" * 180 + ".example", orcpt="rfc822;" + "o" * 490),
            Result(Outcome.FAILED, "rcpt", "5.7.1", "拒" * 60_000, 550, "h" * 250),
        )
        for n in range(100)
    ]
    original = b"Subject: x\r\n\r\n" + b"y" * (dsn.MAX_RETURNED - 20)
    made = dsn.plan_reports(message(language=language, size=len(original)), outcomes)
    assert [len(report.outcomes) for report in made] == [25, 25, 25, 25]
    began = time.process_time()
    assert max(len(build(report, original)) for report in made) < LARGEST
    assert time.process_time() - began < 1, "long replies took the event loop's time"
