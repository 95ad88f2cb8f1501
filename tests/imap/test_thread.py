"""THREAD beside the steps of RFC 5256 written down plainly, and with mail that is meant to keep it busy."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.stores import open_store

from imap.asking import fill, logged_in
from imap.oracle import Mail, plain
from mailwright.imap.thread import Message, by_references, ordered_subject
from mailwright.message.links import MAX_REFERENCES, from_record
from mailwright.store.db.api import Row, Transaction


@dataclass(eq=False)
class Node:
    """A message, or a place that a message would have."""

    message: Message | None = None
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    def adopt(self, child: Node) -> None:
        above: Node | None = self
        while above is not None:
            if above is child:
                return
            above = above.parent
        child.leave()
        child.parent = self
        self.children.append(child)

    def leave(self) -> None:
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent = None

    def key(self) -> tuple[int, int]:
        if self.message is None:
            return min(child.key() for child in self.children)
        return self.message.sent, self.message.number

    def face(self) -> Message:
        return self.message or min(self.children, key=Node.key).face()

    def show(self) -> str:
        shown = "" if self.message is None else str(self.message.number)
        children = [child.show() for child in sorted(self.children, key=Node.key)]
        if len(children) == 1:
            return f"{shown} {children[0]}"
        below = "".join(f"({child})" for child in children)
        return f"{shown} {below}".strip() if below else shown


def plain_references(messages: list[Message]) -> str:
    # 1: containers
    containers: dict[object, Node] = {}
    own: list[Node] = []
    for index, message in enumerate(messages):
        name: object = message.own
        if not message.own or message.own in containers:
            name = ("unique", index)
        own.append(containers.setdefault(name, Node(message)))
    for node, message in zip(own, messages, strict=True):
        # 1.A
        before: Node | None = None
        for reference in message.references:
            after = containers.setdefault(reference, Node())
            if before is not None and after.parent is None:
                before.adopt(after)
            before = after
        # 1.B
        node.leave()
        if before is not None:
            before.adopt(node)
    # 2, 3
    roots = [node for node in containers.values() if node.parent is None]
    roots = [kept for root in roots for kept in prune(root, top=True)]
    # 4
    roots.sort(key=Node.key)
    # 5.B
    table: dict[str, Node] = {}
    for root in roots:
        subject = root.face().subject
        if not subject:
            continue
        known = table.get(subject)
        if known is None or (
            known.message is not None
            and (root.message is None or (known.message.reply and not root.message.reply))
        ):
            table[subject] = root
    # 5.C
    for root in list(roots):
        subject = root.face().subject
        if not subject or table[subject] is root:
            continue
        known = table[subject]
        roots.remove(root)
        if known.message is None and root.message is None:
            known.children += root.children
        elif known.message is None or (
            known.message is not None and root.face().reply and not known.message.reply
        ):
            known.children.append(root)
        else:
            roots.remove(known)
            table[subject] = Node(None, None, [known, root])
            roots.append(table[subject])
    # 6
    return "".join(f"({root.show()})" for root in sorted(roots, key=Node.key))


def prune(node: Node, top: bool = False) -> list[Node]:
    """What stands in the place of a node (step 3)."""
    node.children = [kept for child in node.children for kept in prune(child)]
    if node.message is not None:
        return [node]
    if top and len(node.children) > 1:
        return [node]
    return node.children


MOST, WIDTH = 14, 10


def _made_of(octets: bytes) -> list[Message]:
    """Up to MOST messages, each of WIDTH octets: to draw these as lists of tuples takes ten times as long."""
    messages = []
    for number in range(1, octets[0] % (MOST + 1) + 1):
        sent, subject, reply, own, count, *ids = octets[number * WIDTH : (number + 1) * WIDTH]
        references = dict.fromkeys(1 + one % 20 for one in ids[: count % 6])
        messages.append(
            Message(number, sent % 5, ("", *"ABCD")[subject % 5], bool(reply % 2), own % 10, (*references,))
        )
    return messages


_size = (MOST + 1) * WIDTH
_messages = st.binary(min_size=_size, max_size=_size).map(_made_of)


@settings(max_examples=1500, deadline=None)
@given(_messages)
def test_references_as_the_rfc_says_it(messages: list[Message]) -> None:
    assert by_references(messages).decode() == plain_references(messages)


@settings(max_examples=200, deadline=None)
@given(_messages)
def test_ordered_subject_as_the_rfc_says_it(messages: list[Message]) -> None:
    by_date = sorted(messages, key=lambda message: (message.sent, message.number))
    expected = ""
    for subject in dict.fromkeys(message.subject for message in by_date):
        first, *others = [str(message.number) for message in by_date if message.subject == subject]
        rest = others[0] if len(others) == 1 else "".join(f"({other})" for other in others)
        expected += f"({first} {rest})" if rest else f"({first})"
    assert ordered_subject(messages).decode() == expected


def message(number: int, own: int, *references: int) -> Message:
    return Message(number, number, "", False, own, references)


def test_a_reference_to_itself_and_a_ring() -> None:
    assert by_references([message(1, 5, 5), message(2, 6, 7), message(3, 7, 6)]) == b"(1)(3 2)"


def test_a_thread_as_deep_as_the_mailbox() -> None:
    count = 20_000
    up = [message(n, n, n - 1) for n in range(1, count + 1)]
    assert by_references(up) == b"(" + b" ".join(b"%d" % n for n in range(1, count + 1)) + b")"
    down = [message(n, n, n + 1) for n in range(1, count + 1)]
    assert by_references(down) == b"(" + b" ".join(b"%d" % n for n in range(count, 0, -1)) + b")"


def test_mail_made_to_keep_us_busy_is_threaded_in_bounded_time() -> None:
    # Each message hangs a ladder that is known already below another one, in the order that climbs the most.
    ladder = [message(n, n, n - 1) for n in range(1, 5_000)]
    climbers = [message(n, n, 4_999, *range(n + 1, n + 60)) for n in range(5_000, 15_000)]
    begun = time.process_time()
    threads = by_references(ladder + climbers)
    assert time.process_time() - begun < 10
    assert sorted(map(int, threads.replace(b"(", b" ").replace(b")", b" ").split())) == list(range(1, 15_000))


def letter(fields: str) -> Mail:
    return replace(plain(""), content=fields.replace("\n", "\r\n").encode() + b"\r\n\r\n")


async def test_mail_that_was_stored_without_its_links(tmp_path: Path) -> None:
    many = " ".join(f"<r{n}@x>" for n in range(150))
    mail = [
        letter("Message-ID: <a@x>\nSubject: one"),
        letter("Message-ID: <b@x>\nIn-Reply-To: <a@x> <z@x>\nSubject: two"),
        letter(f"Message-ID: <c@x>\nReferences: <a@x> {many}\nSubject: three"),
        letter("Message-ID: <r149@x>\nSubject: four"),
        letter("Subject: Re: five"),
    ]
    async with open_store(tmp_path) as store:
        account, _ = await fill(store, mail, [])
        kept = await store.read(read_links)
        await store.write(forget_links)
        async with logged_in(store, account) as client:
            for _ in range(2):
                await client.ask(b"UID THREAD REFERENCES UTF-8 ALL")
                assert client.heard == [b"* THREAD (1 2)(4 3)(5)"]
                assert await store.read(read_links) == kept
    links = [from_record(record) for (record,) in kept]
    assert [len(one.references) for one in links] == [0, 1, MAX_REFERENCES, 0, 0]
    assert [one.reply for one in links] == [False] * 4 + [True]
    assert links[1].references == (links[0].own,)
    assert links[2].references[0] == links[0].own
    assert links[2].references[-1] == links[3].own
    assert links[4].own == 0


def read_links(tx: Transaction) -> list[Row]:
    return tx.all("SELECT links FROM messages ORDER BY id")


def forget_links(tx: Transaction) -> None:
    tx.run("UPDATE messages SET links = NULL")
