"""FETCH and UID FETCH (RFC 3501 6.4.5, RFC 3516, RFC 7162 3.1.4, 3.2.6, RFC 9394 3)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.fetch.binary import Encoded, decode_piece
from mailwright.imap.fetch.lines import SLICE_LINES, lie_close
from mailwright.imap.fetch.pieces import Piece, Remote, Slice
from mailwright.imap.fetch.plan import Plan
from mailwright.imap.fetch.read import (
    CONTENT_ROWS,
    SLICE_ROWS,
    read_blob,
    read_contents,
    read_lines,
    read_slice,
    read_unseen,
)
from mailwright.imap.news import find_messages, show_keywords
from mailwright.imap.progress import check_limit, count_of, highest_first, limited, with_limit
from mailwright.imap.reply import Bad, Reply
from mailwright.imap.resync import read_since
from mailwright.imap.selected import Selected
from mailwright.imap.syntax.fetch import Attribute, FetchArgs, parse_fetch
from mailwright.imap.syntax.flags import SEEN
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sequence import Range, intersect, to_ranges
from mailwright.imap.view import Run, window_of_runs
from mailwright.message.decoder import make_decoder
from mailwright.store.blobs.api import CHUNK
from mailwright.store.db.api import FEW
from mailwright.store.errors import StoreError
from mailwright.store.flags import store_flags

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_AHEAD: Final = 3  # slices that are read while one is sent: with that less than 2 MB are held
_SLOW: Final = 0.01  # seconds that a client may take for a slice before no more is read ahead for it
_FEW_CONTENTS: Final = 2  # messages that are read briefly: they may be of some size
_PAGE: Final = 10  # messages whose envelopes are read elsewhere when the event loop has too much to do
UID = Attribute("UID", b"UID")
FLAGS = Attribute("FLAGS", b"FLAGS")
MODSEQ = Attribute("MODSEQ", b"MODSEQ")


def parse(lexer: Lexer) -> FetchArgs:
    lexer.space()
    return parse_fetch(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: FetchArgs = command.args
    if args.vanished and not (command.uid and "QRESYNC" in session.enabled):
        raise Bad("VANISHED is for UID FETCH, after ENABLE QRESYNC")
    if args.partial is not None and not command.uid:
        raise Bad("PARTIAL is for UID FETCH")
    selected = session.open_mailbox()
    changed = await _changed(session, selected, args)
    # RFC 9394 3.4: PARTIAL chooses among all messages, and CHANGEDSINCE among those.
    within = changed if args.partial is None else None
    runs = await find_messages(session, args.numbers, command.uid, within)
    if args.partial is not None:
        check_limit(session, abs(args.partial[1] - args.partial[0]) + 1)
        runs = window_of_runs(runs, args.partial)
    runs, limit = limited(session, runs)
    by_uid = "UIDONLY" in session.enabled
    attributes = dict.fromkeys(args.attributes)
    if args.changed_since is not None or MODSEQ in attributes:
        session.use_condstore()
        attributes[MODSEQ] = None
    with_uid = command.uid
    if await _mark_seen(session, selected, runs, attributes):
        attributes[FLAGS] = None
        if "CONDSTORE" in session.enabled:  # RFC 7162 3.2.4
            attributes[MODSEQ] = None
            with_uid = True
    if with_uid and not by_uid:
        attributes = {UID: None} | attributes
    plan = Plan(list(attributes), selected.view.recents, args.changed_since, by_uid, session.utf8)
    sent = await _send(session, selected, highest_first(runs) if limit else runs, plan)
    if MODSEQ in attributes or (FLAGS in attributes and session.notified > selected.view.modseq):
        session.showed_newest()  # so no news tell of flags as they were before
    if sent.undecodable:
        return Reply("Some parts have a transfer encoding that nobody knows", "UNKNOWN-CTE", "NO")
    if sent.missing:
        return with_limit(session, Reply("Some of the messages are gone", "EXPUNGEISSUED"), limit)
    return Reply("FETCH completed", limit)


async def _changed(session: Session, selected: Selected, args: FetchArgs) -> list[Range] | None:
    """Where the messages changed since CHANGEDSINCE lie, when it pays to ask; tells of those that vanished."""
    since, view = args.changed_since, selected.view
    if since is None or not (args.vanished or view.modseq - since < max(1000, view.count)):
        return None
    found = await session.service.store.read(read_since, *selected.key, since, view.uidnext)
    if args.vanished:
        numbers = args.numbers
        asked = to_ranges(selected.saved) if numbers.saved else numbers.resolve(view.uidnext - 1)
        session.write(responses.vanished(intersect(found.vanished, asked), earlier=True))
    return found.changed


async def send_changed(session: Session, selected: Selected, runs: list[Run]) -> None:
    """Send UID, FLAGS and MODSEQ of these messages (RFC 7162 3.2.5.1)."""
    by_uid = "UIDONLY" in session.enabled
    await send_items(session, selected, runs, [FLAGS, MODSEQ] if by_uid else [UID, FLAGS, MODSEQ])


async def send_items(
    session: Session,
    selected: Selected,
    runs: list[Run],
    attributes: list[Attribute],
    changed_since: int | None = None,
) -> None:
    r"""Send these attributes without setting \Seen."""
    by_uid = "UIDONLY" in session.enabled
    plan = Plan(attributes, selected.view.recents, changed_since, by_uid, session.utf8)
    await _send(session, selected, runs, plan)


async def _mark_seen(
    session: Session, selected: Selected, runs: list[Run], attributes: dict[Attribute, None]
) -> bool:
    """Set \\Seen where an attribute says so; whether any message's flags changed."""
    if selected.read_only or "s" not in selected.rights or all(attribute.peek for attribute in attributes):
        return False
    store, few = session.service.store, count_of(runs) <= FEW
    read, write = (store.read_briefly, store.write_briefly) if few else (store.read, store.write)
    unseen = await read(read_unseen, selected.key, runs)
    if not unseen:
        return False
    changed = await write(store_flags, *selected.key, unseen, "add", SEEN)
    if changed.modseq is not None:
        selected.own.add(changed.modseq)
    return True


class _Ahead:
    """Portions of a FETCH in the order in which they are sent, some of them being read already."""

    def __init__(self, read: Callable[[list[Run]], Awaitable[Slice]], portions: Iterator[list[Run]]) -> None:
        self._read = read
        self._portions = portions
        self._waiting: deque[tuple[list[Run], asyncio.Future[Slice] | None]] = deque()

    async def next(self) -> Slice | None:
        """The next slice; None: that was all."""
        self._fill(1)
        if not self._waiting:
            return None
        runs, reading = self._waiting.popleft()
        done = await (reading or self._read(runs))
        if rest := _after(runs, done.covered):
            self._waiting.appendleft((rest, None))
        return done

    def start(self, count: int) -> None:
        """Have the next `count` slices read meanwhile."""
        self._fill(count)
        for place, (runs, reading) in enumerate(islice(self._waiting, count)):
            self._waiting[place] = runs, reading or asyncio.ensure_future(self._read(runs))

    def cancel(self) -> None:
        for _, reading in self._waiting:
            if reading is not None:
                reading.cancel()

    def _fill(self, count: int) -> None:
        self._waiting += [(runs, None) for runs in islice(self._portions, max(0, count - len(self._waiting)))]


class _Sent:
    __slots__ = ("missing", "undecodable")

    def __init__(self) -> None:
        self.missing = False  # some of the messages
        self.undecodable = False


async def _send(session: Session, selected: Selected, runs: list[Run], plan: Plan) -> _Sent:
    """Send all responses, waiting for a client that is slow to take them; what was amiss with some of them."""
    if plan.only_uids:
        await _send_uids(session, runs, plan)
        return _Sent()
    if plan.contents:
        read, size = read_contents, CONTENT_ROWS
    elif plan.line and lie_close(runs):
        read, size = read_lines, SLICE_LINES
    else:
        read, size = read_slice, SLICE_ROWS
    store = session.service.store
    ask, count = store.read, count_of(runs)
    if count <= (_FEW_CONTENTS if plan.contents else FEW):
        ask = store.read_apart if count > _PAGE and plan.joined and store.pressed else store.read_briefly
    elif plan.contents and count > CONTENT_ROWS:
        ask = store.read_apart
    slices = _Ahead(lambda runs: ask(read, selected.key, runs, plan), _batches(runs, size))
    sent, quick = _Sent(), True
    try:
        while done := await slices.next():
            show_keywords(session, selected, done.keywords)
            sent.missing |= done.missing
            sent.undecodable |= done.undecodable
            slices.start(_AHEAD if quick else 0)
            began = time.monotonic()
            await _write(session, done.pieces)
            quick = time.monotonic() - began < _SLOW  # else they would only lie in memory
    finally:
        slices.cancel()
    return sent


async def _send_uids(session: Session, runs: list[Run], plan: Plan) -> None:
    """The view knows the UIDs, also of messages that are gone and not yet told of (RFC 2180 4.1.1)."""
    for batch in _batches(runs, SLICE_LINES):
        for number, uids in batch:
            numbers = uids if plan.by_uid else range(number, number + len(uids))
            session.write(plan.render(numbers, [(uid,) for uid in uids]))
        await session.drain_much()


async def _write(session: Session, pieces: list[Piece]) -> None:
    """Send the pieces; the list is empty afterwards, so that they need not stay until a slow client has them."""
    waiting = deque(pieces)
    pieces.clear()
    while waiting:
        piece = waiting.popleft()
        if isinstance(piece, Remote):
            await send_remote(session, piece)
        elif isinstance(piece, Encoded):
            await send_encoded(session, piece)
        else:
            session.write(piece)
    piece = b""
    await session.drain_much()


async def send_remote(session: Session, remote: Remote) -> None:
    """Send a large literal as the client takes it. It is announced: when it fails, all that is left is to go."""
    for start in range(remote.start, remote.stop, CHUNK):
        stop = min(start + CHUNK, remote.stop)
        try:
            data = await session.service.store.read(read_blob, remote.blob, start, stop)
        except StoreError as error:
            raise _cut_short(session) from error
        if len(data) != stop - start:
            raise _cut_short(session)
        session.write(data)
        await session.drain()


async def send_encoded(session: Session, encoded: Encoded) -> None:
    """As `send_remote`, decoding on the way."""
    decoder = make_decoder(encoded.encoding)
    skip, left = encoded.skip, encoded.length
    for start in range(encoded.start, encoded.stop, CHUNK):
        if left == 0:
            return
        try:
            data = await session.service.store.read(decode_piece, encoded, decoder, start)
        except StoreError as error:
            raise _cut_short(session) from error
        chosen = data[skip : skip + left]
        skip = max(0, skip - len(data))
        left -= len(chosen)
        session.write(chosen)
        await session.drain()
    if left:
        raise _cut_short(session)


def _cut_short(session: Session) -> ConnectionAbortedError:
    session.stream.abort()
    return ConnectionAbortedError("a message was removed while it was sent")


def _batches(runs: list[Run], size: int) -> Iterator[list[Run]]:
    """The runs in portions of at most `size` messages."""
    batch: list[Run] = []
    room = size
    for run in runs:
        start = 0
        while start < len(run.uids):
            uids = run.uids[start : start + room]
            batch.append(Run(run.number + start, uids))
            start += len(uids)
            room -= len(uids)
            if room == 0:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


def _after(runs: list[Run], covered: int) -> list[Run]:
    """The runs without their first messages."""
    rest = []
    for run in runs:
        if covered < len(run.uids):
            rest.append(Run(run.number + covered, run.uids[covered:]) if covered else run)
            covered = 0
        else:
            covered -= len(run.uids)
    return rest
