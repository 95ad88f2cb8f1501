"""THREAD (RFC 5256): ORDEREDSUBJECT and REFERENCES, over values. Time and memory grow as the mailbox does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

_NOBODY: Final = -1


class Message(NamedTuple):
    """A message to be threaded, in the order of sequence numbers.

    `subject` is the base subject as it is compared, `sent` seconds; `own` 0 when it has no id.
    """

    number: int
    sent: int
    subject: str
    reply: bool
    own: int
    references: tuple[int, ...]


def ordered_subject(messages: Sequence[Message]) -> bytes:
    """Messages of one base subject, the others below the oldest; threads by the date of their first."""
    threads: dict[str, list[Message]] = {}
    for message in sorted(messages, key=_by_date):
        threads.setdefault(message.subject, []).append(message)
    output = []
    for first, *others in threads.values():
        rest = b" %d" % others[0].number if len(others) == 1 else b"".join(b"(%d)" % m.number for m in others)
        output.append(b"(%d%b%b)" % (first.number, b" " if len(others) > 1 else b"", rest))
    return b"".join(output)


def _by_date(message: Message) -> tuple[int, int]:
    return message.sent, message.number


def by_references(messages: Sequence[Message]) -> bytes:
    """The threads that References and In-Reply-To make, those of one base subject gathered."""
    forest = _Forest(messages)
    forest.link()
    forest.prune()
    forest.gather_subjects()
    return forest.render()


class _Forest:
    """Nodes are messages by index, then ids that are only referred to, then dummies made by gathering subjects.

    The steps are those of RFC 5256 REFERENCES.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._parent = [_NOBODY] * len(messages)
        self._degree = [0] * len(messages)  # how many nodes have this one as parent
        self._children: list[list[int]] = []
        self._roots: list[int] = []
        self._keys: list[tuple[int, int]] = []
        self._steps = 0

    # Step 1

    def link(self) -> None:
        nodes: dict[int, int] = {}
        for index, message in enumerate(self._messages):
            if message.own and message.own not in nodes:  # of equal ids the first message has it
                nodes[message.own] = index
        for index, message in enumerate(self._messages):
            before = _NOBODY
            for reference in message.references:
                node = nodes.get(reference)
                if node is None:
                    node = nodes[reference] = len(self._parent)
                    self._parent.append(_NOBODY)
                    self._degree.append(0)
                if before != _NOBODY and self._parent[node] == _NOBODY:
                    self._adopt(before, node)
                before = node
            # What a truncated References field of another message said gives way to what this one says.
            if self._parent[index] != _NOBODY:
                self._degree[self._parent[index]] -= 1
                self._parent[index] = _NOBODY
            if before != _NOBODY:
                self._adopt(before, index)

    def _adopt(self, parent: int, child: int) -> None:
        """Link two nodes where that makes no loop."""
        if parent == child:
            return
        if self._degree[child]:
            # Mail that is there to make us climb long ladders again and again finds the work bounded.
            limit = 1_000_000 + 50 * len(self._parent)
            above = parent
            while above != _NOBODY:
                self._steps += 1
                if above == child or self._steps > limit:
                    return
                above = self._parent[above]
        self._parent[child] = parent
        self._degree[parent] += 1

    # Steps 2 to 4

    def prune(self) -> None:
        """Take out what is no message; only a root with several children may be none."""
        count = len(self._messages)
        self._children = [[] for _ in self._parent]
        for node in self._downwards():
            above = self._parent[node]
            while above >= count and self._parent[above] != _NOBODY:
                above = self._parent[node] = self._parent[above]  # above it all is pruned already
            if node < count and above != _NOBODY:
                self._children[above].append(node)
        for node, above in enumerate(self._parent):
            if above != _NOBODY:
                continue
            if node < count or len(self._children[node]) > 1:
                self._roots.append(node)
            else:
                self._roots += self._children[node]
        self._sort()

    def _downwards(self) -> list[int]:
        """All nodes, each after its parent."""
        below: dict[int, list[int]] = {}
        for node, above in enumerate(self._parent):
            if above != _NOBODY:
                below.setdefault(above, []).append(node)
        order = [node for node, above in enumerate(self._parent) if above == _NOBODY]
        for node in order:
            order.extend(below.get(node, ()))
        return order

    def _sort(self) -> None:
        """Sort each set of siblings by date; a node that is no message counts as its first child."""
        messages = self._messages
        self._keys = [_by_date(message) for message in messages]
        self._keys += [(0, 0)] * (len(self._children) - len(messages))
        for children in self._children:
            if len(children) > 1:
                children.sort(key=self._keys.__getitem__)
        for node in self._roots:
            if node >= len(messages):
                self._keys[node] = self._keys[self._children[node][0]]
        self._roots.sort(key=self._keys.__getitem__)

    # Step 5

    def gather_subjects(self) -> None:
        count = len(self._messages)
        table: dict[str, int] = {}
        for node in self._roots:
            subject = self._face(node).subject
            known = table.get(subject)
            if subject and (known is None or (known < count and self._is_better(node, known))):
                table[subject] = node
        roots: dict[int, None] = dict.fromkeys(self._roots)
        for node in self._roots:
            subject = self._face(node).subject
            first = table.get(subject, node)
            if first != node:
                self._merge(table, roots, subject, first, node)
        self._roots = list(roots)
        self._sort()

    def _face(self, node: int) -> Message:
        """The message whose subject a root has."""
        count = len(self._messages)
        return self._messages[node if node < count else self._children[node][0]]

    def _is_better(self, node: int, known: int) -> bool:
        count = len(self._messages)
        return node >= count or (self._messages[known].reply and not self._messages[node].reply)

    def _merge(
        self, table: dict[str, int], roots: dict[int, None], subject: str, first: int, node: int
    ) -> None:
        count = len(self._messages)
        if first >= count or (self._face(node).reply and not self._face(first).reply):
            self._children[first] += self._children[node] if node >= count else [node]
            del roots[node]
            return
        dummy = len(self._children)
        self._children.append([first, node])
        table[subject] = dummy
        del roots[first], roots[node]
        roots[dummy] = None

    # Step 6 is `_sort`

    def render(self) -> bytes:
        return b"".join([self._render_thread(root) for root in self._roots])

    def _render_thread(self, root: int) -> bytes:
        output: list[bytes] = [b"("]
        count = len(self._messages)
        waiting: list[int | bytes] = [root]
        while waiting:
            node = waiting.pop()
            if isinstance(node, bytes):
                output.append(node)
                continue
            if node < count:
                if output[-1] != b"(":
                    output.append(b" ")
                output.append(b"%d" % self._messages[node].number)
            children = self._children[node]
            if len(children) == 1:
                waiting.append(children[0])
            elif children:
                output += [b" "] if node < count else []
                for child in reversed(children):
                    waiting += [b")", child, b"("]
        output.append(b")")
        return b"".join(output)
