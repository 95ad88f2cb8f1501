"""The name servers, one pair for all tests of the room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.nameservers import NameServers, serve_zones

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


@pytest.fixture(scope="session")
def name_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServers]:
    zones = {"plain.test": PLAIN, "signed.test": SIGNED, "2.0.192.in-addr.arpa": REVERSE}
    with serve_zones(tmp_path_factory.mktemp("dns"), zones, signed=["signed.test"]) as servers:
        yield servers
