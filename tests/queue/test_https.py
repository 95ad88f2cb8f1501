"""HTTPS to the hosts of others, over a real socket with real certificates: whom we ask, and what we believe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.peer import Authority

from mailwright.dns.mock import MockResolver
from mailwright.queue import https as client
from mailwright.queue.https import HTTPS, HTTPSError
from mailwright.queue.sts import FetchError, fetch
from mailwright.queue.tlsreports import post

URL = "https://mta-sts.b.example/.well-known/mta-sts.txt"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Length: 5\r\n\r\nhello"
ZONE = {"mta-sts.b.example": {"A": ["127.0.0.1"]}}


class Web:
    """Answers each request with the same octets, and notes what it got."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0
        )
        self.requests.append(head + await reader.readexactly(length))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def web(
    folder: Path, name: str = "mta-sts.b.example", answer: bytes = ANSWER
) -> AsyncIterator[tuple[Web, str]]:
    authority = Authority(folder)
    site = Web(answer)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=authority.context(name)[0])
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site, str(authority.file)


async def test_the_address_comes_from_our_resolver_and_the_name_is_checked(tmp_path: Path) -> None:
    async with web(tmp_path) as (site, authorities):
        https = HTTPS(MockResolver(ZONE), authorities, port=site.port)
        assert await fetch(https, URL) == b"hello"
    (request,) = site.requests
    assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
    assert b"\r\nhost: mta-sts.b.example\r\n" in request.lower()


async def test_a_certificate_for_another_name_is_not_believed(tmp_path: Path) -> None:
    async with web(tmp_path, "www.b.example") as (site, authorities):
        with pytest.raises(FetchError) as caught:
            await fetch(HTTPS(MockResolver(ZONE), authorities, port=site.port), URL)
    assert caught.value.result == "sts-webpki-invalid"
    assert site.requests == []


async def test_nor_one_of_an_unknown_authority(tmp_path: Path) -> None:
    async with web(tmp_path) as (site, _):
        with pytest.raises(FetchError) as caught:
            await fetch(HTTPS(MockResolver(ZONE), port=site.port), URL)
    assert caught.value.result == "sts-webpki-invalid"


async def test_the_next_address_is_tried(tmp_path: Path) -> None:
    async with web(tmp_path) as (site, authorities):
        zone = {"mta-sts.b.example": {"A": ["127.0.0.9", "127.0.0.1"]}}
        assert await fetch(HTTPS(MockResolver(zone), authorities, port=site.port), URL) == b"hello"


@pytest.mark.parametrize(
    ("resolver", "told"),
    [
        (MockResolver({}), "mta-sts.b.example has no address"),
        (MockResolver({}, failing=["mta-sts.b.example"]), "cannot be looked up"),
        (MockResolver({"mta-sts.b.example": {"A": ["127.0.0.9"]}}), "mta-sts.txt: "),
    ],
)
async def test_no_answer_is_an_error_of_one_kind(resolver: MockResolver, told: str) -> None:
    with pytest.raises(FetchError, match=told) as caught:
        await fetch(HTTPS(resolver, port=9), URL)
    assert caught.value.result == "sts-policy-fetch-error"


async def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.3)
    async with web(tmp_path, answer=b"") as (site, authorities):
        silent = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await silent.wait()
            writer.close()

        site.serve = serve  # type: ignore[method-assign]
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            https = HTTPS(MockResolver(ZONE), authorities, port=server.sockets[0].getsockname()[1])
            with pytest.raises(HTTPSError):
                async with https.request("GET", URL):
                    pass
            silent.set()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n",
            "answered 301",
        ),
        (ANSWER.replace(b"text/plain", b"text/html"), "is text/html, not text/plain"),
    ],
)
async def test_what_is_no_policy_file_is_refused(tmp_path: Path, answer: bytes, told: str) -> None:
    async with web(tmp_path, answer=answer) as (site, authorities):
        with pytest.raises(FetchError, match=told):
            await fetch(HTTPS(MockResolver(ZONE), authorities, port=site.port), URL)


async def test_a_report_is_posted(tmp_path: Path) -> None:
    async with web(tmp_path) as (site, authorities):
        https = HTTPS(MockResolver(ZONE), authorities, port=site.port)
        assert await post(https, "https://mta-sts.b.example/v1/tls", b"report")
        assert not await post(https, "https://nowhere.b.example/v1/tls", b"report")
    (request,) = site.requests
    assert request.startswith(b"POST /v1/tls HTTP/1.1\r\n")
    assert b"\r\ncontent-type: application/tlsrpt+gzip\r\n" in request.lower()
    assert request.endswith(b"\r\n\r\nreport")
