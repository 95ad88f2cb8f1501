"""Other people's mailboxes and public folders, in programs that know nothing of ACL and in one that does."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients.mail import AWKWARD, Person, Runner, bodies, certificate, chinese
from clients.synchronisers import mbsync, offlineimap, transferred
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError
from support.demo import Demo, mailwright_command

SHARED = "共享"
NEWS = "Public/公告"


@contextmanager
def client(person: Person) -> Iterator[IMAPClient]:
    with IMAPClient(*person.demo.address("imap"), ssl=False) as client:
        client.login(person.address, person.password)
        yield client


@pytest.fixture
def shared(alice: Person, bob: Person) -> str:
    """Alice's name for a mailbox of Bob's that holds one message; she may read and mark it."""
    with client(bob) as imap:
        imap.create_folder(SHARED)
        imap.append(SHARED, chinese(bob.address, bob.address))
        imap.setacl(SHARED, alice.address, "lrsw")
    name = f"Other Users/{bob.address}/{SHARED}"
    with client(alice) as imap:
        imap.subscribe_folder(name)
    return name


@pytest.fixture(scope="module")
def public(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Here Alice may make public folders."""
    settings = tmp_path_factory.mktemp("public") / "mailwright.toml"
    settings.write_text(f'[server]\nhostname = "localhost"\ndata = "{demo.data}"\n')
    command = [*mailwright_command(), "public", "grant", demo.accounts[0].address, "--config", str(settings)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return demo


def test_imapclient_lives_within_the_rights_given(alice: Person, bob: Person, shared: str) -> None:
    with client(alice) as imap:
        namespace = imap.namespace()
        assert namespace.other == (("Other Users/", "/"),)
        assert namespace.shared == (("Public/", "/"),)
        listed = {name: flags for flags, _, name in imap.list_folders(pattern="Other Users/*")}
        assert listed.keys() == {shared, shared.rpartition("/")[0]}
        assert b"\\Noselect" in listed[shared.rpartition("/")[0]]
        assert imap.select_folder(shared)[b"PERMANENTFLAGS"]
        assert imap.search(["SUBJECT", "预算"], charset="UTF-8") == [1]
        imap.add_flags([1], ["\\Flagged", "\\Seen"])
        for command, *arguments in (
            ("append", shared, AWKWARD),
            ("create_folder", f"{shared}/sub"),
            ("delete_folder", shared),
            ("getacl", shared),
        ):
            with pytest.raises(IMAPClientError, match="NOPERM"):
                getattr(imap, command)(*arguments)
        imap.copy([1], "INBOX")
    with client(bob) as imap:
        assert SHARED in [name for _, _, name in imap.list_folders()]
        imap._imap.deleteacl("&UXFOqw-", alice.address)
    with client(alice) as imap:
        assert imap.list_folders(pattern="Other Users/*") == []
        with pytest.raises(IMAPClientError):
            imap.select_folder(shared)
    assert len(alice.mail()) == 1
    assert "\\Flagged" in bob.flags("&UXFOqw-")[0]


def test_public_folders(alice: Person, bob: Person, public: Demo) -> None:
    message = chinese(alice.address, alice.address)
    with client(alice) as imap:
        imap.create_folder(NEWS)
        imap.setacl(NEWS, "anyone", "lrs")
        imap.append(NEWS, message)
    with client(bob) as imap:
        assert [name for _, _, name in imap.list_folders(pattern="Public/*")] == [NEWS]
        imap.select_folder(NEWS)
        assert imap.fetch([1], ["BODY[]"])[1][b"BODY[]"] == message
        with pytest.raises(IMAPClientError, match="NOPERM"):
            imap.append(NEWS, AWKWARD)
    with client(alice) as imap:
        imap.delete_folder(NEWS)


def test_mbsync_keeps_a_copy_of_a_shared_mailbox(
    alice: Person, bob: Person, shared: str, run: Runner, tmp_path: Path
) -> None:
    bob.put(AWKWARD, folder="&UXFOqw-")
    said = mbsync(run, alice, tmp_path, patterns='INBOX "Other Users/*"')
    assert transferred(said) == {"FETCH": 2}
    local = tmp_path / "mail" / f"Other Users/{bob.address}/&UXFOqw-"
    assert len(bodies(local)) == 2
    first = min(local.glob("*/*"), key=lambda file: file.stat().st_size)
    first.rename(local / "cur" / f"{first.name.partition(':')[0]}:2,FS")
    assert transferred(mbsync(run, alice, tmp_path, patterns='INBOX "Other Users/*"')) == {"STORE": 1}
    assert bob.flags("&UXFOqw-") == [set(), {"\\Flagged", "\\Seen"}]


def test_offlineimap_reads_a_shared_mailbox(
    alice: Person, bob: Person, shared: str, run: Runner, tmp_path: Path
) -> None:
    options = "folderfilter = lambda name: name.startswith('Other Users/')\nreadonly = True\n"
    said = offlineimap(run, alice, options)
    assert said.count("Copy message") == 1
    assert len(bodies(tmp_path / "mail" / shared)) == 1


def test_neomutt_saves_from_a_shared_mailbox(alice: Person, bob: Person, shared: str, run: Runner) -> None:
    settings = run.settings(
        "muttrc",
        f'set folder = "imaps://localhost:{alice.demo.port("imaps")}/"\nset spoolfile = "+{shared}"\n'
        f'set imap_user = "{alice.address}"\nset imap_pass = "{alice.password}"\n'
        f'set certificate_file = "{certificate(alice.demo)}"\nset ssl_verify_host = no\n'
        "set confirmappend = no\nset wait_key = no\nset move = no\n"
        'set quit = yes\nset header_cache = ""\nset delete = yes\n',
    )
    keys = "<copy-message>=INBOX<enter><flag-message><delete-message><sync-mailbox><quit>"
    command = shlex.join(["neomutt", "-n", "-F", settings, "-e", f"push '{keys}'"])
    run("neomutt", "neomutt", "-v")  # or skip
    run("script", "bsdutils", "-qec", command, "/dev/null")
    assert alice.mail() == bob.mail("&UXFOqw-")  # it may not delete there
    assert "\\Flagged" in bob.flags("&UXFOqw-")[0]
