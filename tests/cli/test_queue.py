"""The queue from the command line: looked at, held, released, sent another way, given up."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from cli.command import Shell
from support.demo import mailwright_command, source_path

from mailwright.app.outbound import queue_rules
from mailwright.cli.exits import Exit
from mailwright.cli.opening import read, write
from mailwright.config import load
from mailwright.directory.accounts import find_account
from mailwright.mailauth.dkim.key import dump_private_key, generate_key
from mailwright.queue import trace, usage
from mailwright.queue.intake import enqueue
from mailwright.queue.values import NewMessage, NewRecipient
from mailwright.store.db.api import Transaction

CONTENT = b"From: alice@example.org\r\nSubject: hello\r\n\r\nx\r\n"


@pytest.fixture
def queued(mailwright: Shell) -> Shell:
    """alice's mail to two people elsewhere, of which nothing was tried."""
    submit(mailwright, "bob@b.example", "carol@c.example")
    return mailwright


def submit(shell: Shell, *recipients: str, sender: str = "alice@example.org") -> None:
    config = load(shell.config)

    def add(tx: Transaction) -> None:
        blob = tx.blobs.keep(
            tx, tx.blobs.prepare((CONTENT,), len(CONTENT), lambda *_: None), int(time.time())
        )
        message = NewMessage(
            blob=blob,
            size=len(CONTENT),
            reverse_path=sender,
            recipients=tuple(NewRecipient(address) for address in recipients),
            received_at=time.time(),
            account=find_account(tx, "alice@example.org").id,
            message_id="1@example.org",
            origin="alice@example.org from 192.0.2.1",
        )
        enqueue(tx, message, time.time(), queue_rules(config))

    write(config, add)


def waiting(shell: Shell) -> list[tuple[str, bool]]:
    return [(entry["address"], entry["held"]) for entry in shell("queue", "list", "--json").json]


def test_what_waits_is_listed_and_counted(queued: Shell) -> None:
    assert waiting(queued) == [("bob@b.example", False), ("carol@c.example", False)]
    assert [
        entry["address"] for entry in queued("queue", "list", "--recipient", "@c.example", "--json").json
    ] == ["carol@c.example"]
    counts = queued("queue", "counts", "--json").json
    assert [(count["destination"], count["recipients"]) for count in counts] == [
        ("b.example", 1),
        ("c.example", 1),
    ]
    assert "not tried yet" in queued("queue", "counts").out


@pytest.mark.parametrize("recipient", ["老王@例子.测试", "老王@xn--fsqu00a.xn--0zwm56d"])
def test_a_domain_may_be_written_either_way(mailwright: Shell, recipient: str) -> None:
    submit(mailwright, recipient, "bob@b.example")
    for domain in ("例子.测试", "xn--fsqu00a.xn--0zwm56d"):
        for chosen in (
            ("--recipient", f"老王@{domain}"),
            ("--recipient", f"@{domain}"),
            ("--destination", domain),
        ):
            found = mailwright("queue", "list", *chosen, "--json").json
            assert [entry["address"] for entry in found] == [recipient], chosen
        assert (
            mailwright("trace", f"老王@{domain}", "--json").json[0]["queue"][0]["message_id"]
            == "1@example.org"
        )
    config = load(mailwright.config)

    def refuse(tx: Transaction) -> None:
        account = find_account(tx, "alice@example.org").id
        usage.suppress(tx, usage.Suppression(account, recipient, time.time(), "550 5.1.1 No such user"))

    write(config, refuse)
    assert "老王@例子.测试" in mailwright("queue", "suppressed", "alice@example.org").out
    assert mailwright("queue", "unsuppress", "alice@example.org", "老王@例子.测试").code == Exit.OK


def test_what_becomes_of_a_message_is_told_as_it_happens(queued: Shell) -> None:
    command = [*mailwright_command(), "queue", "follow", "1", "--config", str(queued.config)]
    environment = {**os.environ, **source_path(), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "Accepted alice@example.org from 192.0.2.1." in process.stdout.readline()
        queued("queue", "hold", "--all")
        assert "Held by the administrator: bob@b.example, carol@c.example." in process.stdout.readline()
        queued("queue", "delete", "--all", "--yes")
        assert "Deleted by the administrator: bob@b.example, carol@c.example." in process.stdout.readline()
        assert process.stdout.readline() == "Nothing is waiting any more.\n"
        assert process.wait(60) == Exit.OK
    lines = queued("queue", "follow", "1", "--json").out.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["accepted", "held", "deleted"]
    assert "no message 7 is known" in queued("queue", "follow", "7").err


def test_hold_and_release(queued: Shell) -> None:
    assert queued("queue", "hold", "--destination", "b.example").out == "Held 1 recipient.\n"
    assert waiting(queued) == [("bob@b.example", True), ("carol@c.example", False)]
    assert queued("queue", "release", "--all").out == "Released 1 recipient.\n"
    assert waiting(queued) == [("bob@b.example", False), ("carol@c.example", False)]


def test_mail_takes_the_route_that_was_made_meanwhile(queued: Shell) -> None:
    queued.config.write_text(
        queued.config.read_text()
        + '[[queue.routes]]\nname = "smart"\nhosts = ["smart.example"]\ndomains = ["b.example"]\n'
    )
    assert queued("queue", "reroute", "--all").out == "Rerouted 1 recipient.\n"
    found = {entry["address"]: entry["destination"] for entry in queued("queue", "list", "--json").json}
    assert found == {"bob@b.example": "@smart", "carol@c.example": "c.example"}


def test_to_give_up_tells_the_sender(queued: Shell) -> None:
    assert queued("queue", "expire", "--recipient", "bob@b.example").out == "Expired 1 recipient.\n"
    assert waiting(queued) == [("carol@c.example", False)]
    (account,) = queued("account", "list", "--json").json
    assert account["messages"] == 1  # the report


def test_to_delete_tells_nobody_and_asks_first(queued: Shell) -> None:
    assert queued("queue", "delete", "--all", stdin="n\n").code == Exit.FAILED
    assert len(waiting(queued)) == 2
    assert queued("queue", "delete", "--all", "--yes").out == "Deleted 2 recipients.\n"
    assert waiting(queued) == []
    assert queued("account", "list", "--json").json[0]["messages"] == 0


def test_what_is_left_out_of_a_list_is_said(queued: Shell) -> None:
    told = queued("queue", "list", "--limit", "1")
    assert "bob@b.example" in told.out
    assert "carol@c.example" not in told.out
    assert told.err == "1 recipient more; `--limit N` lists up to N\n"
    assert queued("queue", "list", "--limit", "2").err == ""
    submit(queued, "dave@b.example")
    told = queued("trace", "alice@example.org", "--limit", "1", "--json")
    assert len(told.json) == 1
    assert told.err == "only the latest 1; `--limit N` tells of up to N\n"
    assert queued("trace", "alice@example.org", "--limit", "2").err == ""


def test_the_largest_counts_are_shown(mailwright: Shell) -> None:
    submit(mailwright, *(f"bob@b{n}.example" for n in range(101)))
    told = mailwright("queue", "counts", "--json")
    assert len(told.json) == 100
    assert told.err.startswith("only the 100 largest;")


def test_the_trace_tells_the_story(queued: Shell) -> None:
    queued("queue", "hold", "--recipient", "bob@b.example")
    told = queued("trace", "<1@example.org>")
    assert "Accepted alice@example.org from 192.0.2.1." in told.out
    assert "Held by the administrator: bob@b.example." in told.out
    (story,) = queued("trace", "bob@b.example", "--json").json
    (record,) = story["queue"]
    assert [event["kind"] for event in record["events"]] == ["accepted", "held"]
    assert record["waiting"] == 2


def test_reports_of_what_is_given_up_by_hand_are_signed_as_the_servers_own(mailwright: Shell) -> None:
    folder = load(mailwright.config).dkim_directory / "mail.example.org"
    folder.mkdir(parents=True)
    (folder / "e1.pem").write_bytes(dump_private_key(generate_key("ed25519-sha256")))
    submit(mailwright, "bob@b.example", sender="eve@e.example")
    assert mailwright("queue", "expire", "--all").out == "Expired 1 recipient.\n"
    (report,) = read(
        load(mailwright.config),
        lambda tx: [tx.blobs.read_whole(tx, b) for (b,) in tx.all("SELECT blob FROM queue_messages")],
    )
    assert report.startswith(b"DKIM-Signature: ")


def test_suppressed_addresses_are_seen_and_taken_off(queued: Shell) -> None:
    def add(tx: Transaction) -> None:
        account = find_account(tx, "alice@example.org").id
        usage.suppress(tx, usage.Suppression(account, "gone@b.example", time.time(), "550 no such user"))
        usage.stop_account(tx, account, time.time(), "too many strangers")

    write(load(queued.config), add)
    (entry,) = queued("queue", "suppressed", "alice@example.org", "--json").json
    assert (entry["address"], entry["reason"]) == ("gone@b.example", "550 no such user")
    (stop,) = queued("queue", "stopped", "--json").json
    assert (stop["account"], stop["reason"]) == ("alice@example.org", "too many strangers")
    assert queued("queue", "unsuppress", "alice@example.org", "gone@b.example").code == Exit.OK
    assert queued("queue", "suppressed", "alice@example.org", "--json").json == []
    again = queued("queue", "unsuppress", "alice@example.org", "gone@b.example")
    assert again.code == Exit.FAILED
    assert "is not suppressed" in again.err


@pytest.mark.parametrize(
    ("verb", "count"),
    [(("hold",), 2), (("retry",), 0), (("reroute",), 0), (("expire",), 2), (("delete", "--yes"), 2)],
)
def test_each_change_speaks_json(queued: Shell, verb: tuple[str, ...], count: int) -> None:
    assert queued("queue", *verb, "--all", "--json").json == {"recipients": count}


@pytest.mark.parametrize("to", ["@nowhere", "bad domain!", "b.example@nowhere"])
def test_mail_is_sent_no_way_that_does_not_exist(queued: Shell, to: str) -> None:
    done = queued("queue", "reroute", "--all", "--to", to)
    assert done.code == Exit.USAGE
    assert f"{to} is neither a domain nor a route; the routes are: none" in done.err
    assert queued("queue", "reroute", "--all", "--to", "d.example").out == "Rerouted 2 recipients.\n"


def test_a_list_in_a_file_has_whole_words(queued: Shell) -> None:
    out = queued("queue", "list").out
    assert "…" not in out
    assert "carol@c.example" in out


@pytest.mark.parametrize(
    "verb", [("hold",), ("release",), ("retry",), ("reroute",), ("expire",), ("delete", "--yes")]
)
def test_who_means_what_is_not_queued_is_told_so(queued: Shell, verb: tuple[str, ...]) -> None:
    wrong = queued("queue", *verb, "--id", "99", "--json")
    assert (wrong.code, wrong.out) == (Exit.FAILED, "")
    assert "nothing that is queued matches --id 99; `mailwright queue list` shows what waits" in wrong.err
    nobody = queued("queue", *verb, "--recipient", "nobody@b.example", "--json")
    assert (nobody.code, nobody.json) == (Exit.OK, {"recipients": 0})
    assert "nothing that is queued matches" in nobody.err
    assert queued("queue", "list", "--id", "99").out == "Nothing that is queued matches.\n"
    assert queued("queue", "delete", "--all", "--yes").err == ""
    assert queued("queue", *verb, "--all").err == ""
    assert queued("queue", "list").out == "Nothing is queued.\n"


def test_what_is_on_its_way_is_said_to_be_left_alone(queued: Shell) -> None:
    def begin(tx: Transaction) -> None:
        tx.run("UPDATE queue_recipients SET owner = 'me', due_at = ? WHERE n = 0", time.time() + 900)

    write(load(queued.config), begin)
    held = queued("queue", "hold", "--id", "1")
    assert (held.code, held.out) == (Exit.OK, "Held 1 recipient.\n")
    assert "1 recipient is on the way at this moment, and left alone; try again" in held.err
    retried = queued("queue", "retry", "--id", "1")
    assert retried.out == "Due now: 0 recipients.\n"
    assert "1 recipient is held; `mailwright queue release` lets them go" in retried.err
    first, second = [line.split() for line in queued("queue", "list").out.splitlines() if "example" in line]
    assert first[-1] == "now"
    assert second[-1] == "held"


def test_a_stopped_account_that_was_removed_is_told_and_released(queued: Shell) -> None:
    def stop(tx: Transaction) -> None:
        usage.stop_account(tx, find_account(tx, "alice@example.org").id, time.time(), "too many strangers")

    write(load(queued.config), stop)
    assert queued("account", "remove", "alice@example.org", "--yes").code == Exit.OK
    assert "1, removed" in queued("queue", "stopped").out
    assert queued("queue", "release", "--all").out == "Released 2 recipients.\n"
    assert queued("queue", "stopped").out == "No account is stopped.\n"


def test_who_releases_is_told_which_accounts_may_send_again(mailwright: Shell) -> None:
    def stop(tx: Transaction) -> None:
        usage.stop_account(tx, find_account(tx, "alice@example.org").id, time.time(), "too many strangers")

    write(load(mailwright.config), stop)
    released = mailwright("queue", "release", "--sender", "alice@example.org")
    assert (released.code, released.out) == (Exit.OK, "Released 0 recipients.\n")
    assert released.err == "alice@example.org may send again\n"


def test_a_story_has_domains_in_their_script_and_what_was_said_as_it_was(mailwright: Shell) -> None:
    submit(mailwright, "老王@xn--fsqu00a.xn--0zwm56d")

    def attempt(tx: Transaction) -> None:
        lines = ["C: RCPT TO:<老王@xn--fsqu00a.xn--0zwm56d>"]
        results = [{"recipient": "老王@xn--fsqu00a.xn--0zwm56d", "outcome": "deferred"}]
        trace.add(tx, 1, time.time(), "attempt", {"host": "mx.b.example", "results": results, "lines": lines})

    write(load(mailwright.config), attempt)
    told = mailwright("trace", "1", "--lines").out
    assert "    老王@例子.测试: deferred" in told
    assert "      C: RCPT TO:<老王@xn--fsqu00a.xn--0zwm56d>" in told


def test_the_trace_says_why_an_account_waits(queued: Shell) -> None:
    def stop(tx: Transaction) -> None:
        usage.stop_account(tx, find_account(tx, "alice@example.org").id, time.time(), "too many strangers")

    write(load(queued.config), stop)
    told = queued("trace", "1@example.org")
    assert (
        "2 recipients still waiting, 2 of them held until `mailwright queue release`:"
        " the account is stopped, too many strangers." in told.out
    )
    (story,) = queued("trace", "1@example.org", "--json").json
    assert (story["queue"][0]["held"], story["queue"][0]["stopped"]) == (2, "too many strangers")
