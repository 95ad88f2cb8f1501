"""An SMTP or LMTP server for tests of the client side, which does as it is told and notes what it got."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailwright.net.stream import StreamProtocol

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 10000000", "ENHANCEDSTATUSCODES")


class Lines:
    """A stream read by lines and by counts."""

    def __init__(self, stream: StreamProtocol) -> None:
        self.stream = stream
        self._buffer = b""

    async def _more(self) -> bool:
        data = await self.stream.read(60)
        self._buffer += data or b""
        return bool(data)

    async def line(self) -> bytes:
        """With its end; b'' when there is no more."""
        while b"\n" not in self._buffer:
            if not await self._more():
                return b""
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    async def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not await self._more():
                raise ConnectionError("cut off")
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def forget(self) -> None:
        self._buffer = b""


@dataclass
class Taken:
    """A message that the peer took."""

    mail: str
    recipients: list[str]
    content: bytes
    tls: bool
    connection: int


@dataclass
class Peer:
    """`replies` maps the beginning of a command line to the reply, '' to none, or a function of the line.

    Where that gives None, the reply is the usual one.
    """

    extensions: tuple[str, ...] = EXTENSIONS
    greeting: bytes = b"220 mx.b.example ESMTP\r\n"
    replies: dict[str, bytes | Callable[[str], bytes | None]] = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    final: bytes | Callable[[Taken], bytes] = b"250 2.0.0 kept\r\n"
    lose_after_dot: bool = False
    lmtp: bool = False
    most_messages: int = 10_000  # then the connection is closed without a word
    taken: list[Taken] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    connections: int = 0
    host: str = "127.0.0.1"
    port: int = 0  # 0: any that is free

    async def __aenter__(self) -> Peer:
        self.streams: list[StreamProtocol] = []
        self._tasks: set[asyncio.Task[None]] = set()

        def accept(stream: StreamProtocol) -> None:
            task = asyncio.create_task(self._serve(stream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def new_stream() -> asyncio.Protocol:
            return cast("asyncio.Protocol", StreamProtocol(accepted=accept))

        self._server = await asyncio.get_running_loop().create_server(new_stream, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _offers(self, tls: bool) -> list[str]:
        offers = list(self.extensions)
        if self.context is not None and not tls:
            offers.append("STARTTLS")
        return offers

    async def _serve(self, stream: StreamProtocol) -> None:
        self.streams.append(stream)
        self.connections += 1
        try:
            await self._dialog(Lines(stream), stream, self.connections)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            await stream.close()

    async def _dialog(self, reader: Lines, writer: StreamProtocol, number: int) -> None:
        writer.write(self.greeting)
        tls, served, mail, recipients = False, 0, "", list[str]()
        while line := (await reader.line()).decode().rstrip("\r\n"):
            self.lines.append(line)
            verb = line.partition(" ")[0].upper()
            scripted = self._scripted(line) if mail or verb != "RCPT" else b"503 5.5.1 MAIL first\r\n"
            if scripted is not None:
                writer.write(scripted)
                if scripted.startswith(b"421") or not scripted:
                    return
                if verb == "MAIL":
                    mail, recipients = line if scripted.startswith(b"250") else "", []
                elif verb == "RCPT" and scripted.startswith(b"250"):
                    recipients.append(line)
                continue
            if verb in ("EHLO", "LHLO"):
                offers = ["mx.b.example", *self._offers(tls)]
                for n, text in enumerate(offers):
                    writer.write(f"250{'-' if n < len(offers) - 1 else ' '}{text}\r\n".encode())
            elif verb == "STARTTLS" and self.context is not None:
                writer.write(b"220 2.0.0 go on\r\n")
                await writer.start_tls(self.context)
                reader.forget()
                tls = True
            elif verb == "MAIL":
                mail, recipients = line, []
                writer.write(b"250 2.1.0 ok\r\n")
            elif verb == "RCPT":
                recipients.append(line)
                writer.write(b"250 2.1.5 ok\r\n")
            elif verb in ("DATA", "BDAT"):
                if verb == "DATA":
                    writer.write(b"354 go on\r\n" if recipients else b"554 5.5.1 no valid recipients\r\n")
                    if not recipients:
                        continue
                    content = await self._read_content(reader)
                else:
                    content = await self._read_chunks(reader, writer, line)
                    if not recipients:
                        writer.write(b"503 5.5.1 no valid recipients\r\n")
                        continue
                taken = Taken(mail, recipients, content, tls, number)
                self.taken.append(taken)
                if self.lose_after_dot:
                    return
                for _ in recipients if self.lmtp else [None]:
                    writer.write(self.final(taken) if callable(self.final) else self.final)
                served += 1
                mail, recipients = "", []
                if served >= self.most_messages:
                    await writer.drain()
                    return
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    def _scripted(self, line: str) -> bytes | None:
        for begin, reply in self.replies.items():
            if line.upper().startswith(begin.upper()):
                return reply(line) if callable(reply) else reply
        return None

    async def _read_content(self, reader: Lines) -> bytes:
        lines: list[bytes] = []
        while (line := await reader.line()) != b".\r\n":
            if not line:
                raise ConnectionError("cut off")
            lines.append(line.removeprefix(b".") if line.startswith(b".") else line)
        return b"".join(lines)

    async def _read_chunks(self, reader: Lines, writer: StreamProtocol, line: str) -> bytes:
        content = b""
        while True:
            words = line.split()
            content += await reader.exactly(int(words[1]))
            if words[-1].upper() == "LAST":
                return content
            writer.write(b"250 2.0.0 chunk\r\n")
            line = (await reader.line()).decode().rstrip("\r\n")
            self.lines.append(line)


class Authority:
    """A certificate authority for a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Authority")])
        self.certificate = self._sign(self.name, self.key.public_key(), [], ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: list[str],
        *,
        ca: bool,
        days: int = 30,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=90))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        return builder.sign(self.key, hashes.SHA256())

    def context(self, *names: str, days: int = 30) -> tuple[ssl.SSLContext, bytes]:
        """A server's context for these names, and its certificate in DER. Negative `days`: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._sign(subject, key.public_key(), list(names), ca=False, days=days)
        file = self.folder / f"{names[0]}-{days}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context, certificate.public_bytes(serialization.Encoding.DER)
