"""From a mail program through submission, queue and DNS to a peer, and what the sender hears of it."""

from __future__ import annotations

import asyncio
import re
import smtplib
from pathlib import Path

import dkim
import pytest
from cli.command import Shell
from peers.house import ALICE, CHEN, PEER, House, World, is_intact, letter, open_house, patient, peer, until

from mailwright.cli.records import records
from mailwright.directory.aliases import add_alias


async def test_a_message_arrives_octet_for_octet_signed_and_told_of(house: House, world: World) -> None:
    sent = letter(1, "bob@peer.test", "line one  \r\n\r\n.\r\n..two\r\n" + "x" * 990 + "\r\n" + "\t\r\n")
    async with peer(world) as there:
        await house.submit(sent, "bob@peer.test")
        await house.result("1@us.test", "sent")
    (taken,) = there.taken
    assert is_intact(taken.content, sent)
    assert taken.mail.startswith(f"MAIL FROM:<{ALICE}>")
    assert b"ESMTPSA" in taken.content or b"ESMTPA" in taken.content
    assert taken.content.count(b"DKIM-Signature:") == 2
    published = {
        f"{r.name}.".encode(): r.value.encode()
        for r in records("us.test", "mx.us.test", house.config.dkim_directory)
    }
    fields = re.findall(rb"^DKIM-Signature:.*?\r\n(?![ \t])", taken.content, re.MULTILINE | re.DOTALL)
    (rsa,) = (n for n, field in enumerate(fields) if b"a=rsa-sha256" in field)
    # dkimpy knows Ed25519 only beside a further library.
    assert dkim.DKIM(taken.content).verify(rsa, dnsfunc=lambda name, timeout=5: published.get(name))
    story = await house.story("bob@peer.test")
    assert "Accepted" in story
    assert f"Tried mx.peer.test [{PEER}]" in story
    assert "bob@peer.test: sent" in story
    assert "S: 250 2.0.0 kept" in story
    assert "Nothing is waiting any more." in story


async def test_a_refusal_comes_back_in_plain_words(house: House, world: World) -> None:
    sent = letter(2, "nobody@peer.test")
    async with peer(world, replies={"RCPT TO:<nobody@": b"550 5.1.1 no such mailbox here\r\n"}):
        await house.submit(sent, "nobody@peer.test", "bob@peer.test")
        report = await house.report()
    assert report["From"].startswith("Mail") or "postmaster@" in report["From"]
    assert report["Auto-Submitted"] == "auto-replied"
    human, machine, back = report.iter_parts()
    words = human.get_content()
    assert "nobody@peer.test" in words
    assert "550 5.1.1 no such mailbox here" in words
    assert "bob@peer.test" not in words
    assert "Status: 5.1.1" in machine.as_string()
    assert "Reporting-MTA: dns; mx.us.test" in machine.as_string()
    assert "<2@us.test>" in back.as_string()


async def test_who_wrote_to_an_alias_hears_that_its_target_refused(house: House, world: World) -> None:
    await house.app.store.write(add_alias, "sales@us.test", ["nobody@peer.test"], now=1)

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", world.port, timeout=60) as client:
            client.sendmail("eve@peer.test", ["sales@us.test"], letter(5, "sales@us.test"))

    async with peer(world, replies={"RCPT TO:<nobody@": b"550 5.1.1 no such mailbox here\r\n"}) as there:
        await asyncio.to_thread(send)
        (report,) = await until(lambda: there.taken)
    assert (report.mail.split()[1], report.recipients) == ("FROM:<>", ["RCPT TO:<eve@peer.test>"])
    assert b"To: eve@peer.test\r\n" in report.content
    assert b"Original-Recipient: rfc822; sales@us.test" in report.content
    assert "Report (failed) sent to <eve@peer.test>" in await house.story("nobody@peer.test")


async def test_success_is_told_where_it_was_asked_for(house: House, world: World) -> None:
    async with peer(world, extensions=("PIPELINING", "8BITMIME")):
        await house.submit(letter(3, "bob@peer.test"), "bob@peer.test", rcpt=("NOTIFY=SUCCESS",))
        report = await house.report()
    assert "Action: relayed" in report.as_string()


async def test_one_domain_that_is_dead_does_not_keep_the_others(house: House, world: World) -> None:
    async with peer(world) as there:
        await house.submit(letter(4, "all"), "a@dead.test", "b@peer.test", "chen@us.test", "c@null.test")
        await until(lambda: there.taken)
        assert len(await until(lambda: house.inbox(CHEN))) == 1
        failed = await house.result("4@us.test", "failed")
        assert (failed["recipient"], failed["status"]) == ("c@null.test", "5.1.10")
        waiting = await house.result("4@us.test", "deferred")
        assert (waiting["recipient"], waiting["phase"]) == ("a@dead.test", "connect")


@pytest.mark.parametrize(("domain", "status", "words"), [
    ("null.test", "5.1.10", "takes no mail"),
    ("loop.test", "5.4.6", "leads back to this server"),
    ("gone.peer.test", "5.1.2", "does not exist"),
])  # fmt: skip
async def test_what_dns_says_no_to_comes_back_at_once(
    house: House, domain: str, status: str, words: str
) -> None:
    await house.submit(letter(5, f"bob@{domain}"), f"bob@{domain}")
    report = await house.report()
    assert f"Status: {status}" in report.as_string()
    assert words in report.as_string()


async def test_an_implicit_mx(house: House, world: World) -> None:
    async with peer(world) as there:
        await house.submit(letter(6, "bob@implicit.test"), "bob@implicit.test")
        await until(lambda: there.taken)
    await house.result("6@us.test", "sent")


async def test_a_server_of_another_name_that_is_ourselves(house: House) -> None:
    """The DNS does not tell that mx.mirror.test is us; the mail must not go round for ever."""
    await house.submit(letter(7, "bob@mirror.test"), "bob@mirror.test")
    report = await house.report()
    assert "Status: 5." in report.as_string()
    assert len(await house.inbox()) == 1


async def test_nobody_is_reached_until_the_message_expires(
    world: World, tmp_path: Path, trusting: None
) -> None:
    queue = patient(world, expire_after=2.0, warning_after=0.0)
    async with open_house(world, tmp_path, queue) as house:
        await house.submit(letter(8, "bob@dead.test"), "bob@dead.test")
        report = await house.report()
    assert "Status: 4.4.7" in report.as_string() or "Status: 5.4.7" in report.as_string()
    assert "cannot connect" in report.as_string()


async def test_the_command_line_tells_the_story(house: House, world: World, tmp_path: Path) -> None:
    async with peer(world):
        await house.submit(letter(9, "bob@peer.test"), "bob@peer.test")
        await house.result("9@us.test", "sent")
    shell = Shell(tmp_path)
    shell.config.write_text(f'[server]\nhostname = "mx.us.test"\ndata = "{house.config.server.data}"\n')
    done = await asyncio.to_thread(shell, "trace", "<9@us.test>")
    assert done.code == 0, done.err
    assert re.search(r"bob@peer\.test: sent", done.out)
    (story,) = (await asyncio.to_thread(shell, "trace", "bob@peer.test", "--json")).json
    assert story["reception"]["account"] == "alice@us.test"
    (record,) = story["queue"]
    assert record["message_id"].strip("<>") == "9@us.test"
