"""What is known of TLS sessions, and its sum for a report (RFC 8460 4.2, 4.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

# Policy types, RFC 8460 4.2
POLICY_TLSA: Final = "tlsa"
POLICY_STS: Final = "sts"
POLICY_NONE: Final = "no-policy-found"

# Result types, RFC 8460 4.3; '' is success
STARTTLS_NOT_SUPPORTED: Final = "starttls-not-supported"
CERTIFICATE_HOST_MISMATCH: Final = "certificate-host-mismatch"
CERTIFICATE_EXPIRED: Final = "certificate-expired"
CERTIFICATE_NOT_TRUSTED: Final = "certificate-not-trusted"
VALIDATION_FAILURE: Final = "validation-failure"
TLSA_INVALID: Final = "tlsa-invalid"
DNSSEC_INVALID: Final = "dnssec-invalid"
DANE_REQUIRED: Final = "dane-required"
STS_POLICY_FETCH_ERROR: Final = "sts-policy-fetch-error"
STS_POLICY_INVALID: Final = "sts-policy-invalid"
STS_WEBPKI_INVALID: Final = "sts-webpki-invalid"

MAX_DETAILS: Final = 500  # kinds of failures told apart in one report


@dataclass(frozen=True)
class AppliedPolicy:
    """The policy that a session was held to."""

    kind: str  # tlsa, sts, no-policy-found
    domain: str  # the policy domain, A-labels
    strings: tuple[str, ...] = ()  # the lines of an MTA-STS policy, or the TLSA records
    mx_hosts: tuple[str, ...] = ()  # the MX patterns of an MTA-STS policy, or the host of the TLSA records


@dataclass(frozen=True)
class SessionResult:
    """How `count` sessions like this one went. Unknown texts are empty."""

    policy: AppliedPolicy
    result: str = ""  # a result type of RFC 8460 4.3; empty for success
    receiving_host: str = ""
    receiving_ip: str = ""
    receiving_helo: str = ""
    sending_ip: str = ""
    reason: str = ""  # failure-reason-code: words for people
    count: int = 1


@dataclass(frozen=True)
class PolicySummary:
    """All sessions under one policy; the failures summed by kind, the most frequent first."""

    policy: AppliedPolicy
    successes: int
    failures: int
    details: tuple[SessionResult, ...]


def summarize(results: Iterable[SessionResult]) -> tuple[PolicySummary, ...]:
    """One summary for each policy, in the order of their first sessions.

    After MAX_DETAILS kinds of failures under a policy, further ones are told apart by their result type only.
    """
    successes: dict[AppliedPolicy, int] = {}
    failures: dict[AppliedPolicy, dict[SessionResult, int]] = {}
    for result in results:
        policy = result.policy
        kinds = failures.setdefault(policy, {})
        successes.setdefault(policy, 0)
        if not result.result:
            successes[policy] += result.count
            continue
        kind = replace(result, count=1)
        if kind not in kinds and len(kinds) >= MAX_DETAILS:
            kind = SessionResult(policy, result.result)
        kinds[kind] = kinds.get(kind, 0) + result.count
    return tuple(_sum_up(policy, good, failures[policy]) for policy, good in successes.items())


def _sum_up(policy: AppliedPolicy, successes: int, kinds: dict[SessionResult, int]) -> PolicySummary:
    details = sorted((replace(kind, count=count) for kind, count in kinds.items()), key=_order)
    return PolicySummary(policy, successes, sum(kinds.values()), tuple(details))


def _order(detail: SessionResult) -> tuple[int, str, str, str]:
    return (-detail.count, detail.result, detail.receiving_host, detail.receiving_ip)
