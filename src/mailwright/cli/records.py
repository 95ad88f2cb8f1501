"""The DNS records that a mail domain publishes, and the DKIM keys that one kind of them speaks of."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mailwright.cli.owner import give_to_owner_of
from mailwright.mailauth.dkim import key as dkim


class Record(NamedTuple):
    """One record to publish. `value` is what a resolver answers; TXT is one text, whatever its length."""

    name: str
    type: str
    value: str
    why: str

    def to_zone(self) -> str:
        """The line of a zone file."""
        value = self.value
        if self.type == "TXT":
            value = " ".join(f'"{value[n : n + 255]}"' for n in range(0, len(value), 255))
        return f"{self.name}. {self.type} {value}"


def ensure_keys(directory: Path, domain: str, now: datetime | None = None) -> list[str]:
    """The selectors of the domain's DKIM keys; an RSA and an Ed25519 key are made when it has none."""
    folder = directory / domain
    found = sorted(path.stem for path in folder.glob("*.pem"))
    if found:
        return found
    made = next(path for path in (*reversed(folder.parents), folder) if not path.exists() or path == folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = f"{now or datetime.now(UTC):%Y%m}"
    written = []
    for prefix, algorithm in (("e", dkim.ED25519_SHA256), ("r", dkim.RSA_SHA256)):
        path = folder / f"{prefix}{stamp}.new"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(dkim.dump_private_key(dkim.generate_key(algorithm)))
        written.append(path)
    for path in written:  # both are whole: a disk that is full leaves no half of one, nor one alone
        path.rename(path.with_suffix(".pem"))
    give_to_owner_of(made.parent, made)
    return sorted(path.stem for path in folder.glob("*.pem"))


def load_key(path: Path) -> dkim.PrivateKey:
    """A DKIM key. Raises InvalidKey, which says what to do, and OSError."""
    try:
        return dkim.load_private_key(path.read_bytes())
    except dkim.InvalidKey as error:
        raise dkim.InvalidKey(
            f"{path} is no DKIM key: {error}; put it back from a backup, or move it away and publish the other keys"
        ) from error


def host_record(hostname: str) -> Record:
    """Reports have no sender, so SPF asks for the name in HELO; theirs is of the server, in From too (RFC 7208 2.4)."""
    return Record(hostname, "TXT", "v=spf1 a -all", "the server's own reports are believed (RFC 7208)")


def records(domain: str, hostname: str, dkim_directory: Path) -> list[Record]:
    """What `domain` publishes so that mail for it comes to `hostname`, and mail from it is believed."""
    found = [
        Record(domain, "MX", f"10 {hostname}.", "mail for the domain comes here"),
        Record(domain, "TXT", "v=spf1 mx -all", "only this server sends for it (RFC 7208)"),
    ]
    if hostname.endswith(f".{domain}"):
        found.append(host_record(hostname))
    for selector in ensure_keys(dkim_directory, domain):
        key = load_key(dkim_directory / domain / f"{selector}.pem")
        name = f"{selector}._domainkey.{domain}"
        found.append(Record(name, "TXT", dkim.record_text(key), "its mail is signed (RFC 6376)"))
    postmaster = f"mailto:postmaster@{domain}"
    found += [
        Record(
            f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=quarantine; rua={postmaster}", "forgeries are doubted"
        ),
        Record(
            f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua={postmaster}", "TLS failures are told (RFC 8460)"
        ),
    ]
    for service, port in (("_submissions", 465), ("_imaps", 993), ("_pop3s", 995)):
        value = f"0 1 {port} {hostname}."
        found.append(
            Record(f"{service}._tcp.{domain}", "SRV", value, "clients find the server (RFC 6186, RFC 8314)")
        )
    return found
