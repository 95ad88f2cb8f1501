"""The programs that people fetch their mail with, from Debian's archive."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from support.getmail import keeping
from support.pop3 import ADDRESS, PASSWORD, Pop3House, listening

from mailwright.tls.certificates import server_context

HEAD = b"From: bob@example.org\r\nTo: ann@example.org\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
ONE = HEAD + b"Message-ID: <1@example.org>\r\nSubject: one\r\n\r\n.\r\n.dot\r\nHello\r\n"
TWO = HEAD + b"Message-ID: <2@example.org>\r\nSubject: two\r\n\r\n" + b"The second message.\r\n" * 30_000


async def run(program: str, package: str, *arguments: str, folder: Path, code: int = 0) -> bytes:
    """What a program prints; it must end with that exit code."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is missing; on Debian: apt install {package}")
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), 120)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == code, (out[-2000:], errors[-2000:])
    return out


def write_private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def bodies(files: list[Path]) -> list[bytes]:
    """The bodies of stored mail with CRLF, sorted: programs add header fields of their own."""
    found = [path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[2] for path in files]
    return sorted(body.replace(b"\n", b"\r\n") for body in found)


EXPECTED = sorted(content.partition(b"\r\n\r\n")[2] for content in (ONE, TWO))


@pytest.mark.parametrize("login", ["", "AUTH=PLAIN", "AUTH=LOGIN"])
async def test_curl(house: Pop3House, certificate: tuple[Path, Path], tmp_path: Path, login: str) -> None:
    await house.put(ONE, TWO)
    options = ["-sS", "--ssl-reqd", "--cacert", str(certificate[0]), "--user", f"{ADDRESS}:{PASSWORD}"]
    if login:
        options += ["--login-options", login]
    async with listening(house, server_context(*certificate), tls=False) as listener:
        url = f"pop3://localhost:{listener.port}/"
        listing = await run("curl", "curl", *options, url, folder=tmp_path)
        assert listing == b"1 %d\r\n2 %d\r\n" % (len(ONE), len(TWO))
        assert await run("curl", "curl", *options, url + "1", folder=tmp_path) == ONE
        assert await run("curl", "curl", *options, url + "2", folder=tmp_path) == TWO


@pytest.mark.parametrize("login", ["user", "plain", "scram-sha-256"])
async def test_mpop(house: Pop3House, certificate: tuple[Path, Path], tmp_path: Path, login: str) -> None:
    await house.put(ONE, TWO)
    maildir = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    async with listening(house, server_context(*certificate), tls=False) as listener:
        settings = write_private(
            tmp_path / "mpoprc",
            f"account default\nhost localhost\nport {listener.port}\ntls on\ntls_starttls on\n"
            f"tls_trust_file {certificate[0]}\nauth {login}\nuser {ADDRESS}\npassword {PASSWORD}\n"
            f"keep on\ndelivery maildir {maildir}\nuidls_file {tmp_path}/uidls\n",
        )
        for _ in range(2):  # the second time there is nothing new
            await run("mpop", "mpop", "-C", str(settings), folder=tmp_path)
            assert bodies(list((maildir / "new").iterdir())) == EXPECTED
        await run("mpop", "mpop", "-C", str(settings), "--keep=off", folder=tmp_path)
    assert await house.kept() == []


async def test_fetchmail(house: Pop3House, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    await house.put(ONE, TWO)
    kept = tmp_path / "kept"
    kept.mkdir()
    async with listening(house, server_context(*certificate), tls=True) as listener:
        settings = write_private(
            tmp_path / "fetchmailrc",
            f'poll localhost protocol pop3 port {listener.port} uidl user "{ADDRESS}" password "{PASSWORD}" '
            f'keep ssl sslcertck sslcertfile "{certificate[0]}" mda "cat > {kept}/$$"\n',
        )
        options = [
            "-f",
            str(settings),
            "-i",
            str(tmp_path / "ids"),
            "--pidfile",
            str(tmp_path / "pid"),
            "--nobounce",
        ]
        await run("fetchmail", "fetchmail", *options, folder=tmp_path)
        assert bodies(list(kept.iterdir())) == EXPECTED
        await run("fetchmail", "fetchmail", *options, folder=tmp_path, code=1)  # no new mail
        await run("fetchmail", "fetchmail", *options, "--all", "--nokeep", folder=tmp_path)
    assert await house.kept() == []


async def test_getmail(house: Pop3House, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    await house.put(ONE, TWO)
    kept = tmp_path / "kept"
    kept.mkdir()
    async with listening(house, server_context(*certificate), tls=True) as listener:
        write_private(
            tmp_path / "getmailrc",
            f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {listener.port}\n"
            f"username = {ADDRESS}\npassword = {PASSWORD}\nca_certs = {certificate[0]}\n"
            + keeping(kept)
            + "[options]\nread_all = false\ndelete = false\n",
        )
        for _ in range(2):  # the second time there is nothing new
            await run("getmail", "getmail6", "-g", str(tmp_path), folder=tmp_path)
            assert bodies(list(kept.iterdir())) == EXPECTED
        await run("getmail", "getmail6", "-g", str(tmp_path), "--all", "--delete", folder=tmp_path)
    assert await house.kept() == []
