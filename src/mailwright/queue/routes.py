"""Which way mail takes: straight to the recipient's servers, or as a route says. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mailwright.base.domain import InvalidDomain, to_ascii

DIRECT: Final = "direct"

TLS_NONE: Final = "none"
TLS_MAY: Final = "may"  # opportunistic, or as MTA-STS and DANE say
TLS_ENCRYPT: Final = "encrypt"  # some TLS, whoever the certificate names
TLS_VERIFY: Final = "verify"  # a certificate that is right for the host
TLS_WORDS: Final = (TLS_NONE, TLS_MAY, TLS_ENCRYPT, TLS_VERIFY)


@dataclass(frozen=True)
class Route:
    """A way. Without `hosts` the recipient domain's own servers are used, with the other settings.

    `hosts` are tried in order, each looked up as A and AAAA; `[mx:NAME]` stands for the MX hosts of NAME.
    `domains`: 'example.org', '.example.org' (what is below it) or '*'; `senders`: 'a@b.example', '@b.example'.
    Both must match when both are given.
    """

    name: str = DIRECT
    domains: tuple[str, ...] = ("*",)
    senders: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    port: int = 0  # 0: 25; 24 for LMTP; 465 with implicit TLS
    lmtp: bool = False
    tls: str = TLS_MAY
    implicit_tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    sources: tuple[str, ...] = ()  # local addresses to send from, of both families, used in turn
    proxy: str = ""  # socks5://user:password@host:port
    helo: str = ""  # instead of our own name

    @property
    def service_port(self) -> int:
        return self.port or (24 if self.lmtp else 465 if self.implicit_tls else 25)

    def matches(self, sender: str, domain: str) -> bool:
        return any(_match_domain(pattern, domain) for pattern in self.domains) and (
            not self.senders or any(_match_sender(pattern, sender) for pattern in self.senders)
        )


class Router:
    """Chooses by the first route that matches; otherwise straight.

    The destination is the text by which mail that shares connections is known: `b.example` straight,
    `@name` by the hosts of a route, `b.example@name` straight with the settings of a route.
    """

    def __init__(self, routes: tuple[Route, ...] = ()) -> None:
        self._routes = routes
        self._names = {route.name: route for route in routes}
        self._direct = self._names.get(DIRECT, Route())

    def destination(self, sender: str, recipient: str) -> str:
        """The destination of a recipient's address. A domain that is none stays as it is, and fails later."""
        domain = recipient.rpartition("@")[2]
        if not domain.startswith("["):
            try:
                domain = to_ascii(domain)
            except InvalidDomain:
                domain = domain.lower().replace("@", "")
        for route in self._routes:
            if route.name != DIRECT and route.matches(sender.lower(), domain):
                return f"@{route.name}" if route.hosts else f"{domain}@{route.name}"
        return domain

    def knows(self, destination: str) -> bool:
        """Whether mail may be sent to a destination: a domain, an address literal, or by a route that is configured."""
        domain, at, name = destination.rpartition("@")
        if at:
            return name in self._names and (not domain or self.knows(domain))
        try:
            return destination.startswith("[") or bool(to_ascii(destination))
        except InvalidDomain:
            return False

    def route(self, destination: str) -> tuple[Route, str]:
        """The route of a destination, and the domain to look up ('' when the route names hosts).

        Raises KeyError for a route that is no longer configured.
        """
        domain, at, name = destination.rpartition("@")
        return (self._names[name], domain) if at else (self._direct, destination)


def _match_domain(pattern: str, domain: str) -> bool:
    pattern = pattern.lower()
    return pattern == "*" or domain == pattern or (pattern.startswith(".") and domain.endswith(pattern))


def _match_sender(pattern: str, sender: str) -> bool:
    pattern = pattern.lower()
    return sender == pattern or (pattern.startswith("@") and sender.endswith(pattern))
