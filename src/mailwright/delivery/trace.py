"""The trace fields that are put in front of an accepted message (RFC 5321 4.4)."""

from __future__ import annotations

import functools
import ipaddress

from mailwright import __version__
from mailwright.message.date import format_date
from mailwright.smtp.api import Envelope, SessionInfo, with_protocol


def return_path(reverse_path: str) -> bytes:
    """The Return-Path field of final delivery; '' is the null reverse-path."""
    return f"Return-Path: <{reverse_path}>\r\n".encode()


def delivered_to(address: str) -> bytes:
    """The field by which an address recognises mail that comes back to it."""
    return f"Delivered-To: {address}\r\n".encode()


def received(info: SessionInfo, envelope: Envelope, hostname: str, queue_id: str, now: float) -> bytes:
    """The Received field. A sole recipient is named; of several none, as they may not know of each other."""
    lines = [f"Received: from {info.hello or 'unknown'} ({_address_literal(info.peer.address)})"]
    protocol = with_protocol(info, envelope.smtputf8)
    lines.append(f"\tby {hostname} (Mailwright {__version__}) with {protocol} id {queue_id}")
    if info.tls is not None:
        lines.append(f"\t(using {info.tls.version} with cipher {info.tls.cipher})")
    if len(envelope.recipients) == 1:
        lines.append(f"\tfor <{envelope.recipients[0].path}>")
    return ("\r\n".join(lines) + f";\r\n\t{_date(int(now))}\r\n").encode("utf-8", "replace")


@functools.lru_cache(maxsize=2)
def _date(now: int) -> str:
    return format_date(now)


@functools.lru_cache(maxsize=1000)
def _address_literal(address: str) -> str:
    if not address:
        return "local"
    try:
        return f"[IPv6:{address}]" if ipaddress.ip_address(address).version == 6 else f"[{address}]"
    except ValueError:
        return "unknown"
