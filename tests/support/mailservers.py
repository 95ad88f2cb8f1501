"""Postfix, Exim and OpenSMTPD as whole servers on loopback, each in folders of its own.

They take mail for bob and carol of their domain into a maildir, none for nobody, and hand mail for `us.test` to us.
Exim and OpenSMTPD have their paths and users built in, so they run where a mount namespace shows them what they
look for.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.debian import unpacked
from support.nameservers import find

START = 60.0  # seconds that a server has to begin and to end


@dataclass(frozen=True)
class Setting:
    """What a server is told: where it listens and whose mail it takes, its certificate, and where we are.

    `authorities`: it asks us for a certificate of theirs and our name; without them it takes any.
    """

    host: str
    port: int
    domain: str
    certificate: Path | None = None
    us: int = 0  # our port on 127.0.0.1
    authorities: Path | None = None
    policy: int = 0  # the port of a policy service that Postfix asks about each recipient


class MailServer(ABC):
    """A server whose files lie in `folder`."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.folder = folder
        self.setting = setting
        self.mail = folder / "mail"
        self.mail.mkdir()
        shutil.chown(self.mail, "nobody")
        self.pem = folder / "server.pem"  # the servers want it where only root reads
        if setting.certificate is not None:
            shutil.copy(setting.certificate, self.pem)
            self.pem.chmod(0o600)

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def log(self) -> str: ...

    def received(self) -> list[bytes]:
        """The messages in its mailbox, with CRLF."""
        files = sorted(self.mail.glob("**/new/*"), key=lambda file: file.stat().st_mtime_ns)
        return [file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for file in files]


class Postfix(MailServer):
    """From the installed package."""

    def start(self) -> None:
        if find("postfix") is None:
            pytest.skip("needs the Debian package postfix")
        etc = self.folder / "etc"
        etc.mkdir()
        for name in ("spool", "data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        (etc / "main.cf").write_text(self._main())
        (etc / "master.cf").write_text(self._master())
        self._run("start")

    def stop(self) -> None:
        self._run("stop")

    def _run(self, command: str) -> None:
        words = [find("postfix") or "postfix", "-c", str(self.folder / "etc"), command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=START, check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.log()}"

    def log(self) -> str:
        file = self.folder / "mail.log"
        return file.read_text() if file.exists() else ""

    def _main(self) -> str:
        at, nobody = self.setting, pwd.getpwnam("nobody").pw_uid
        group = pwd.getpwnam("nobody").pw_gid
        lines = [
            "compatibility_level = 3.6",
            f"queue_directory = {self.folder}/spool\ndata_directory = {self.folder}/data",
            "command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin",
            f"maillog_file = {self.folder}/mail.log\nmaillog_file_prefixes = {self.folder.parent}",
            f"myhostname = mx.{at.domain}\nmydestination =\nmynetworks = 127.0.0.0/8",
            "inet_protocols = ipv4\nalias_maps =\nalias_database =\nbiff = no",
            "inet_interfaces = 127.0.0.1",
            f"virtual_mailbox_domains = {at.domain}\nvirtual_mailbox_maps = static:inbox/",
            f"virtual_mailbox_base = {self.mail}\nvirtual_minimum_uid = 1",
            f"virtual_uid_maps = static:{nobody}\nvirtual_gid_maps = static:{group}",
            f"transport_maps = inline:{{us.test=smtp:[127.0.0.1]:{at.us}}}",
            f"smtpd_recipient_restrictions = {self._checks()} permit_mynetworks, reject",
            "minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s",
            "smtp_destination_concurrency_failed_cohort_limit = 0",
        ]
        if at.certificate is not None:
            lines += ["smtpd_tls_security_level = may", f"smtpd_tls_chain_files = {self.pem}"]
        if at.authorities is None:
            lines.append("smtp_tls_security_level = may")
        else:
            lines += [
                "smtp_tls_security_level = verify\nsmtp_tls_verify_cert_match = mx.us.test",
                f"smtp_tls_CAfile = {at.authorities}",
            ]
        return "\n".join(lines) + "\n"

    def _checks(self) -> str:
        unknown = f"check_recipient_access inline:{{nobody@{self.setting.domain}=REJECT}},"
        policy = self.setting.policy
        return unknown + (f" check_policy_service inet:127.0.0.1:{policy}," if policy else "")

    def _master(self) -> str:
        inner = [
            "bounce",
            "defer",
            "trace",
            "discard",
            "error",
            "showq",
            "lmtp",
            "smtp",
            "relay=smtp",
            "retry=error",
        ]
        lines = [f"{self.setting.host}:{self.setting.port} inet n - n - - smtpd"]
        lines += [
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "proxymap unix - - n - - proxymap",
            "virtual unix - n n - - virtual",
            "anvil unix - - n - 1 anvil",
            "scache unix - - n - 1 scache",
            "postlog unix-dgram n - n - 1 postlogd",
        ]
        for word in inner:
            name, _, program = word.partition("=")
            program = program or {"defer": "bounce", "trace": "bounce"}.get(name, name)
            lines.append(f"{name} unix - - n - 0 {program}")
        return "\n".join(lines) + "\n"


class Housed(MailServer):
    """A server from an unpacked package, in a mount namespace."""

    process: subprocess.Popen[bytes] | None = None

    def launch(self, command: list[str], shown: Mapping[str, Path], users: Mapping[str, int]) -> None:
        """Run `command` where each path of `shown` is the folder or file given, and `users` exist."""
        check = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
        if check.returncode:
            pytest.skip(f"needs mount namespaces (as root): {check.stderr.decode().strip()}")
        people = "".join(
            f"{name}:x:{number}:{number}::/nonexistent:/bin/false\n" for name, number in users.items()
        )
        groups = "".join(f"{name}:x:{number}:\n" for name, number in users.items())
        (self.folder / "passwd").write_text(Path("/etc/passwd").read_text() + people)
        (self.folder / "group").write_text(Path("/etc/group").read_text() + groups)
        binds = {"/etc/passwd": self.folder / "passwd", "/etc/group": self.folder / "group", **shown}
        script = "".join(f"mount --bind '{real}' '{path}' && " for path, real in binds.items())
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", script + 'exec "$@"', "sh", *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                process_group=0,
            )

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 15)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, 9)
                self.process.wait(START)

    def log(self) -> str:
        return (self.folder / "output").read_text("utf-8", "replace")


class Exim(Housed):
    """exim4-daemon-light."""

    def start(self) -> None:
        program = unpacked("exim4-daemon-light") / "usr/sbin/exim4"
        (self.folder / "spool").mkdir()
        os.chown(self.folder / "spool", 901, 901)
        if self.pem.exists():
            os.chown(self.pem, 901, 901)
        library = self.folder / "lib"  # a configuration by -C costs Exim its privileges
        (library / "exim4").mkdir(parents=True)
        (library / "exim4" / "config.autogenerated").write_text(self._conf())
        self.launch([str(program), "-bdf", "-q2s"], {"/var/lib": library}, {"Debian-exim": 901})

    def log(self) -> str:
        files = self.folder.glob("spool/*log")
        return super().log() + "".join(file.read_text("utf-8", "replace") for file in files if file.is_file())

    def _conf(self) -> str:
        at = self.setting
        tls = (
            f"tls_advertise_hosts = *\ntls_certificate = {self.pem}\n"
            if at.certificate
            else "tls_advertise_hosts =\n"
        )
        verify = (
            f"  hosts_require_tls = *\n  tls_verify_hosts = *\n  tls_verify_certificates = {at.authorities}\n"
            "  tls_sni = mx.us.test\n  tls_verify_cert_hostnames =\n"
            if at.authorities
            else ""
        )
        return f"""
exim_path = {unpacked("exim4-daemon-light")}/usr/sbin/exim4
primary_hostname = mx.{at.domain}
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/spool/%slog
pid_file_path = {self.folder}/spool/pid
local_interfaces = {at.host}
daemon_smtp_ports = {at.port}
{tls}never_users =
keep_environment =
acl_smtp_rcpt = ${{if eq{{$local_part@$domain}}{{nobody@{at.domain}}}{{deny}}{{accept}}}}
acl_smtp_data = accept
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
chunking_advertise_hosts = *
prdr_enable
begin routers
ours:
  driver = accept
  domains = {at.domain}
  transport = maildir
us:
  driver = manualroute
  domains = us.test
  route_list = * 127.0.0.1
  self = send
  transport = remote
begin transports
maildir:
  driver = appendfile
  directory = {self.mail}/inbox
  maildir_format
  user = nobody
  group = nogroup
remote:
  driver = smtp
  port = {at.us}
  allow_localhost
{verify}begin retry
* * F,1h,1s
"""


class OpenSMTPD(Housed):
    """opensmtpd; it cannot be made to trust an authority for a server that it knows by its address."""

    def start(self) -> None:
        tree = unpacked("opensmtpd")
        var = self.folder / "var"
        for name in ("lib/opensmtpd/empty", "spool/smtpd", "run"):
            (var / name).mkdir(parents=True)
        (var / "spool/smtpd").chmod(0o711)
        for name, owner, mode in (
            ("offline", "root", 0o770), ("purge", "opensmtpq", 0o700),
            ("queue", "opensmtpq", 0o700), ("corrupt", "opensmtpq", 0o700),
            ("incoming", "opensmtpq", 0o700), ("temporary", "opensmtpq", 0o700),
        ):  # fmt: skip
            folder = var / "spool/smtpd" / name
            folder.mkdir()
            number = 903 if owner == "opensmtpq" else 0
            os.chown(folder, number, 903 if name == "offline" else 0)
            folder.chmod(mode)
        conf = self.folder / "smtpd.conf"
        conf.write_text(self._conf())
        conf.chmod(0o600)
        shown = {
            "/var": var,
            "/usr/libexec": tree / "usr/libexec",
        }
        command = [str(tree / "usr/sbin/smtpd"), "-d", "-v", "-f", str(conf)]
        self.launch(command, shown, {"opensmtpd": 902, "opensmtpq": 903})

    def _conf(self) -> str:
        at = self.setting
        pki = f'pki ours cert "{self.pem}"\npki ours key "{self.pem}"\n' if at.certificate else ""
        tls = "tls pki ours" if at.certificate else ""
        return f"""{pki}smtp max-message-size 50M
listen on {at.host} port {at.port} {tls} hostname mx.{at.domain}
action store maildir "{self.mail}/inbox" virtual {{ "bob" = nobody, "carol" = nobody }}
action us relay host "smtp://127.0.0.1:{at.us}" helo mx.{at.domain} src {at.host}
match from any for domain {at.domain} action store
match from any for domain us.test action us
"""


@contextmanager
def serving(kind: type[MailServer], setting: Setting) -> Iterator[MailServer]:
    """A server from the moment it greets; its folder may be entered by the users it becomes."""
    if os.geteuid() != 0:
        pytest.skip("mail servers start only as root")
    folder = Path(tempfile.mkdtemp(prefix="mailwright-peer-"))
    folder.chmod(0o755)
    server = kind(folder, setting)
    try:
        server.start()
        try:
            wait_for_greeting(server)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_greeting(server: MailServer) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((server.setting.host, server.setting.port), 2) as connection,
        ):
            connection.settimeout(10)
            if connection.recv(3) == b"220":
                return
        time.sleep(0.05)
    pytest.fail(f"{type(server).__name__} does not greet:\n{server.log()[-3000:]}")
