"""Real name servers on loopback: nsd with two zones, unbound validating one of them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.message
import dns.name
import dns.query
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

SIGNED = """
$TTL 300
@ SOA ns hostmaster 1 3600 900 86400 60
@ NS ns
ns A 127.0.0.1
@ MX 20 mx2
@ MX 10 MX1
mx1 A 192.0.2.1
mx1 AAAA 2001:db8::1
mx2 A 192.0.2.2
_25._tcp.mx1 TLSA 3 1 1 8755CDAA8FE24EF16CC0F2C918063185E433FAAF1415664911D9E30A924138C4
alias CNAME mx1
out CNAME www.plain.test.
brief 1 A 192.0.2.3
bogus A 192.0.2.66
"""

PLAIN = """
$TTL 300
@ SOA ns hostmaster 1 3600 900 86400 60
@ NS ns
ns A 127.0.0.1
@ MX 0 .
www A 192.0.2.80
alias CNAME mx1.signed.test.
c1 CNAME c2
c2 CNAME c3
c3 CNAME www
loop1 CNAME loop2
loop2 CNAME loop1
text TXT "v=spf1 " "-all" "\\255"
large TXT {large}
odd MX 10 a\\.b\\032c.plain.test.
""".format(large=" ".join(f'"{index:0200d}"' for index in range(40)))

REVERSE = """
$TTL 300
@ SOA ns.plain.test. hostmaster.plain.test. 1 3600 900 86400 60
@ NS ns.plain.test.
1 PTR Mail.Plain.Test.
"""


@dataclass(frozen=True)
class NameServers:
    """Where the two listen, as a resolver's configuration names them."""

    nsd: str
    unbound: str


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def sign_zone(text: str, origin: str) -> tuple[str, str]:
    """The zone signed, with one A record changed after signing; and its trust anchor."""
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
    signed = zone.to_text().replace("192.0.2.66", "192.0.2.67")
    return signed, f"{origin} 300 IN DNSKEY {key.to_text()}\n"


def wait_until_it_answers(port: int, name: str, process: subprocess.Popen[bytes]) -> None:
    query = dns.message.make_query(name, "SOA")
    for _ in range(100):
        assert process.poll() is None, "the name server ended at its start"
        try:
            dns.query.udp(query, "127.0.0.1", timeout=0.2, port=port)
        except OSError:
            time.sleep(0.05)
        except dns.exception.Timeout:
            continue
        else:
            return
    pytest.fail("the name server does not answer")


def start_nsd(folder: Path) -> tuple[subprocess.Popen[bytes], int, str]:
    signed, anchor = sign_zone(SIGNED, "signed.test.")
    zones = {"signed.test": signed, "plain.test": PLAIN, "2.0.192.in-addr.arpa": REVERSE}
    port = free_port()
    lines = [
        "server:",
        f"  ip-address: 127.0.0.1@{port}",
        f'  username: ""\n  chroot: ""\n  pidfile: "{folder}/nsd.pid"\n  database: ""',
        f'  zonesdir: "{folder}"\n  zonelistfile: "{folder}/zone.list"\n  xfrdfile: "{folder}/xfrd"',
        f'  xfrdir: "{folder}"\n  server-count: 1\n  rrl-ratelimit: 0',
        "remote-control:\n  control-enable: no",
    ]
    for name, text in zones.items():
        (folder / f"{name}.zone").write_text(f"$ORIGIN {name}.\n{text}", "latin-1")
        lines.append(f'zone:\n  name: "{name}"\n  zonefile: "{name}.zone"')
    (folder / "nsd.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        ["nsd", "-d", "-c", str(folder / "nsd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until_it_answers(port, "plain.test", process)
    return process, port, anchor


def start_unbound(folder: Path, nsd_port: int, anchor: str) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    (folder / "anchor").write_text(anchor)
    lines = [
        "server:",
        f'  interface: 127.0.0.1@{port}\n  username: ""\n  chroot: ""\n  pidfile: ""\n  directory: "{folder}"',
        f'  use-syslog: no\n  do-daemonize: no\n  do-not-query-localhost: no\n  trust-anchor-file: "{folder}/anchor"',
        '  local-zone: "test." nodefault\n  local-zone: "2.0.192.in-addr.arpa." nodefault',
        '  module-config: "validator iterator"\n  ede: yes\n  num-threads: 1\n  harden-below-nxdomain: yes',
        "remote-control:\n  control-enable: no",
    ]
    for name in ("signed.test", "plain.test", "2.0.192.in-addr.arpa"):
        lines.append(f'stub-zone:\n  name: "{name}"\n  stub-addr: 127.0.0.1@{nsd_port}')
    (folder / "unbound.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        ["unbound", "-d", "-c", str(folder / "unbound.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until_it_answers(port, "plain.test", process)
    return process, port


@pytest.fixture(scope="session")
def name_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServers]:
    for program in ("nsd", "unbound"):
        if shutil.which(program) is None and shutil.which(program, path="/usr/sbin") is None:
            pytest.skip(f"needs the Debian package {program}")
    folder = tmp_path_factory.mktemp("dns")
    processes: list[subprocess.Popen[bytes]] = []
    try:
        nsd, nsd_port, anchor = start_nsd(folder)
        processes.append(nsd)
        unbound, unbound_port = start_unbound(folder, nsd_port, anchor)
        processes.append(unbound)
        yield NameServers(f"127.0.0.1:{nsd_port}", f"127.0.0.1:{unbound_port}")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10)
