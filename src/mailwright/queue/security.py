"""How safe a connection has to be: the route's word, DANE, MTA-STS, REQUIRETLS; and whether a handshake was."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from mailwright.mailauth.dane.names import reference_names
from mailwright.mailauth.dane.verify import DaneStatus, verify_chain
from mailwright.mailauth.mtasts.policy import ENFORCE, NONE, Policy
from mailwright.mailauth.tlsrpt import results
from mailwright.mailauth.tlsrpt.results import AppliedPolicy
from mailwright.queue.hosts import Host
from mailwright.queue.routes import TLS_ENCRYPT, TLS_MAY, TLS_NONE, TLS_VERIFY, Route
from mailwright.queue.wire import Lost, Wire

DANE: Final = "DANE"
STS: Final = "MTA-STS"
NOT_REQUIRED: Final = "TLS-Required: No"
REQUIRETLS: Final = "REQUIRETLS"
_DER: Final = 2  # _ssl.ENCODING_DER


@dataclass(frozen=True)
class Security:
    """What a connection to one host is held to.

    `must`: rather no connection than one that is less. `verify` names how the certificate is checked: '', 'name'
    or DANE. `label` is for the record; `applied` for TLS-RPT, None where nothing is reported.
    """

    label: str
    tls: bool = True
    must: bool = False
    verify: str = ""
    applied: AppliedPolicy | None = None
    refusal: str = ""  # why this host is out of the question, if `must`


class TLSFault(Exception):
    """The connection is not as safe as it must be. `result` is TLS-RPT's word."""

    def __init__(self, result: str, text: str) -> None:
        super().__init__(text)
        self.result = result


def decide(
    route: Route, domain: str, host: Host, policy: Policy | None, *, requiretls: bool, optional: bool = False
) -> Security:
    """The policy for one host of a destination (`domain` is '' behind a route with hosts).

    `optional`: the message says `TLS-Required: No`, which puts arriving above DANE and MTA-STS (RFC 8689 4.1).
    """
    if optional and route.tls == TLS_MAY:
        return Security(NOT_REQUIRED)
    chosen = _by_configuration(route) if route.tls != TLS_MAY else _by_publication(domain, host, policy)
    if not requiretls:
        return chosen
    label = f"{REQUIRETLS}, {chosen.label}"
    if chosen.refusal:
        return replace(chosen, label=label, must=True)
    # RFC 8689 4.2.1: a checked certificate, for a name that nobody could forge.
    if not (host.is_secure or chosen.label.startswith(STS) or not domain):
        refusal = "REQUIRETLS: neither DNSSEC nor MTA-STS vouches for the name of the server"
        return Security(REQUIRETLS, must=True, refusal=refusal)
    return Security(label, must=True, verify=chosen.verify or "name", applied=chosen.applied)


def _by_configuration(route: Route) -> Security:
    if route.tls == TLS_NONE:
        return Security("none, as configured", tls=False)
    verify = "name" if route.tls == TLS_VERIFY else ""
    words = {TLS_ENCRYPT: "encrypt, as configured", TLS_VERIFY: "verify, as configured"}
    return Security(words[route.tls], must=True, verify=verify)


def _by_publication(domain: str, host: Host, policy: Policy | None) -> Security:
    """DANE before MTA-STS (RFC 8461 2), both before chance."""
    if host.tlsa:
        strings = tuple(f"{r.usage} {r.selector} {r.matching} {r.data.hex()}" for r in host.tlsa)
        applied = AppliedPolicy(results.POLICY_TLSA, domain or host.name, strings, (host.name,))
        return Security(DANE, must=True, verify=DANE, applied=applied)
    if policy is not None and policy.mode != NONE and domain:
        applied = AppliedPolicy(results.POLICY_STS, domain, policy.lines(), policy.mx)
        refusal = "" if policy.allows(host.name) else f"{host.name} is not in the MTA-STS policy of {domain}"
        return Security(
            f"{STS} {policy.mode}",
            must=policy.mode == ENFORCE,  # in testing mode: report, but deliver (RFC 8461 5)
            verify="name",
            applied=applied,
            refusal=refusal,
        )
    return Security("opportunistic", applied=AppliedPolicy(results.POLICY_NONE, domain) if domain else None)


_TLS_REQUIRED_NO: Final = re.compile(rb"^tls-required[ \t]*:\s*no\s*$", re.IGNORECASE | re.MULTILINE)


def says_optional(content: bytes) -> bool:
    """Whether the header has `TLS-Required: No` (RFC 8689 5)."""
    end = content.find(b"\r\n\r\n")
    return _TLS_REQUIRED_NO.search(content, 0, end + 2 if end >= 0 else len(content)) is not None


class Contexts:
    """TLS contexts for clients. `authorities`: a PEM file instead of the system's."""

    def __init__(self, authorities: str | None = None) -> None:
        self.checked = ssl.create_default_context(cafile=authorities)
        self.unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.unchecked.check_hostname = False
        self.unchecked.verify_mode = ssl.CERT_NONE


async def shake_hands(
    wire: Wire, host: Host, domain: str, security: Security, contexts: Contexts, now: Callable[[], float]
) -> None:
    """Start TLS on a wire as the policy wants it. Raises TLSFault, after which the wire is lost."""
    checked = security.verify == "name"
    name = host.tlsa_base if security.verify == DANE else host.name  # RFC 7672 8.1
    try:
        session = await wire.start_tls(contexts.checked if checked else contexts.unchecked, name or None)
    except Lost as error:
        raise TLSFault(_result_of(str(error)), str(error)) from error
    if security.verify == DANE:
        names = reference_names(domain, host.name, host.canonical)
        verdict = verify_chain(host.tlsa, _chain(session), names, now())
        if verdict.status is DaneStatus.FAILED:
            wire.abort()
            raise TLSFault(verdict.failure, f"DANE: {verdict.reason}")


def _chain(session: ssl.SSLObject) -> list[bytes]:
    """The certificates as the server sent them (public only since Python 3.13)."""
    inner: Any = getattr(session, "_sslobj", session)
    chain = inner.get_unverified_chain() or []
    return [item if isinstance(item, bytes) else item.public_bytes(_DER) for item in chain]


def _result_of(text: str) -> str:
    lower = text.lower()
    if "expired" in lower or "not yet valid" in lower:
        return results.CERTIFICATE_EXPIRED
    if "mismatch" in lower or "not valid for" in lower:
        return results.CERTIFICATE_HOST_MISMATCH
    if "self-signed" in lower or "self signed" in lower or "issuer" in lower or "unable to get" in lower:
        return results.CERTIFICATE_NOT_TRUSTED
    return results.VALIDATION_FAILURE
