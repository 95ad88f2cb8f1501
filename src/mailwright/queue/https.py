"""HTTPS to hosts of other domains: addresses from our resolver, certificates checked for the name, in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

from mailwright.dns import lookup
from mailwright.dns.api import DNSTemporary, Resolver

if TYPE_CHECKING:
    import httpx

TIMEOUT: Final = 60.0  # seconds for all of it (RFC 8461 3.3)
CONNECT_TIMEOUT: Final = 10.0  # for one address
MAX_ADDRESSES: Final = 4


class HTTPSError(Exception):
    """There is no answer. `is_certificate`: the host could not prove its name."""

    def __init__(self, text: str, *, is_certificate: bool = False) -> None:
        super().__init__(text)
        self.is_certificate = is_certificate


class HTTPS:
    """A client without cookies, redirects or memory. `authorities`: a PEM file instead of those of the web."""

    def __init__(self, resolver: Resolver, authorities: str | None = None, *, port: int = 443) -> None:
        self._resolver = resolver
        self._authorities = authorities
        self._port = port  # only tests change it
        self._context: ssl.SSLContext | None = None

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, *, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is not read yet. Raises HTTPSError, also while the body is read."""
        import httpx  # here, not above: it would take a third of the time that a start has

        if self._context is None:
            self._context = await asyncio.to_thread(self._trust)
        limits = httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)
        try:
            target = httpx.URL(url)
            async with (
                asyncio.timeout(TIMEOUT),
                httpx.AsyncClient(
                    verify=self._context, follow_redirects=False, timeout=limits, trust_env=False
                ) as client,
            ):
                response = await self._send(client, method, target, content, headers or {})
                try:
                    yield response
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            text = str(error) or f"no answer within {TIMEOUT:.0f} s"
            raise HTTPSError(f"{url}: {text}", is_certificate="certificate" in text.lower()) from error

    def _trust(self) -> ssl.SSLContext:
        import httpx

        if self._authorities is not None:
            return ssl.create_default_context(cafile=self._authorities)
        return httpx.create_ssl_context(trust_env=False)

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        target: httpx.URL,
        content: bytes,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        """Try the addresses of the host one after another."""
        import httpx

        failure: Exception = OSError(f"{target.host} has no address")
        for address in await self._addresses(target.raw_host.decode("ascii")):
            request = client.build_request(
                method,
                target.copy_with(scheme="https", host=address, port=target.port or self._port),
                content=content or None,
                headers={**headers, "Host": target.netloc.decode("ascii")},
                extensions={
                    "sni_hostname": target.raw_host.decode("ascii")
                },  # the certificate must have it too
            )
            try:
                return await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str) -> tuple[str, ...]:
        try:
            return (await lookup.addresses(self._resolver, host)).records[:MAX_ADDRESSES]
        except DNSTemporary as error:
            raise OSError(f"the address of {host} cannot be looked up: {error}") from error
