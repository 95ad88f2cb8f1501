"""Real name servers on loopback: nsd with zones made for a test, and unbound that asks it and validates."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.message
import dns.query
import dns.rcode
import dns.zone
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from support.demo import free_port


@dataclass(frozen=True)
class NameServers:
    """Where the two listen, as a resolver's configuration names them."""

    nsd: str
    unbound: str


@contextmanager
def serve_zones(
    folder: Path, zones: Mapping[str, str], signed: Collection[str] = ()
) -> Iterator[NameServers]:
    """Both servers while the block runs; skips the test when a program is missing.

    `zones` are zone files by name without final dot, in which `@` is the name; those in `signed` get DNSSEC, but
    an address of 192.0.2.66 is changed to 192.0.2.67 after signing, and so bogus.
    """
    for program in ("nsd", "unbound"):
        if find(program) is None:
            pytest.skip(f"needs the Debian package {program}")
    texts = {name: f"$ORIGIN {name}.\n{text}" for name, text in zones.items()}
    anchors = ""
    for name in signed:
        texts[name], anchor = sign_zone(texts[name], f"{name}.")
        anchors += anchor
    probe = next(iter(zones))
    with ExitStack() as stack:
        nsd_port, unbound_port = free_port(), free_port()
        configure_nsd(folder, nsd_port, texts)
        stack.enter_context(running("nsd", folder, nsd_port, probe))
        configure_unbound(folder, unbound_port, nsd_port, zones, anchors)
        stack.enter_context(running("unbound", folder, unbound_port, probe))
        yield NameServers(f"127.0.0.1:{nsd_port}", f"127.0.0.1:{unbound_port}")


def find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin")


def sign_zone(text: str, origin: str) -> tuple[str, str]:
    """The zone signed, and its trust anchor."""
    zone = dns.zone.from_text(text, origin)
    private = generate_private_key(SECP256R1())
    key = dns.dnssec.make_dnskey(private.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=257)
    now = datetime.now(UTC)
    dns.dnssec.sign_zone(
        zone,
        keys=[(private, key)],
        add_dnskey=True,
        dnskey_ttl=300,
        inception=now - timedelta(days=1),
        expiration=now + timedelta(days=1),
    )
    signed = f"$ORIGIN {origin}\n" + zone.to_text().replace("192.0.2.66", "192.0.2.67")
    return signed, f"{origin} 300 IN DNSKEY {key.to_text()}\n"


def configure_nsd(folder: Path, port: int, texts: Mapping[str, str]) -> None:
    lines = [
        "server:",
        f'  ip-address: 127.0.0.1@{port}\n  username: ""\n  chroot: ""\n  pidfile: "{folder}/nsd.pid"',
        f'  database: ""\n  zonesdir: "{folder}"\n  zonelistfile: "{folder}/zone.list"',
        f'  xfrdfile: "{folder}/xfrd"\n  xfrdir: "{folder}"\n  server-count: 1\n  rrl-ratelimit: 0',
        "remote-control:\n  control-enable: no",
    ]
    for name, text in texts.items():
        (folder / f"{name}.zone").write_text(text, "latin-1")
        lines.append(f'zone:\n  name: "{name}"\n  zonefile: "{name}.zone"')
    (folder / "nsd.conf").write_text("\n".join(lines) + "\n")


def configure_unbound(folder: Path, port: int, nsd_port: int, names: Collection[str], anchors: str) -> None:
    (folder / "anchors").write_text(anchors)
    lines = [
        "server:",
        f'  interface: 127.0.0.1@{port}\n  username: ""\n  chroot: ""\n  pidfile: ""\n  directory: "{folder}"',
        "  use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n  do-not-query-localhost: no",
        f'  module-config: "validator iterator"\n  ede: yes\n  trust-anchor-file: "{folder}/anchors"',
        *(f'  local-zone: "{name}." nodefault' for name in (*names, "test")),
        "remote-control:\n  control-enable: no",
        *(f'stub-zone:\n  name: "{name}"\n  stub-addr: 127.0.0.1@{nsd_port}' for name in names),
    ]
    (folder / "unbound.conf").write_text("\n".join(lines) + "\n")


@contextmanager
def running(program: str, folder: Path, port: int, probe: str) -> Iterator[None]:
    """The server in the foreground, from the moment it answers for the name `probe`."""
    process = subprocess.Popen(
        [find(program) or program, "-d", "-c", str(folder / f"{program}.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_it_answers(process, port, probe)
        yield
    finally:
        process.terminate()
        process.wait(60)


def wait_until_it_answers(process: subprocess.Popen[bytes], port: int, probe: str) -> None:
    query = dns.message.make_query(probe, "SOA")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the name server ended at its start"
        try:
            reply = dns.query.udp(query, "127.0.0.1", timeout=1, port=port)
        except dns.exception.Timeout:
            continue
        except OSError:
            pass
        else:
            if reply.rcode() == dns.rcode.NOERROR:  # else it could not ask the other one yet
                return
        time.sleep(0.05)
    pytest.fail("the name server does not answer")
