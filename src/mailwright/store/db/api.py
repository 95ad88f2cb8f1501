"""The contract of a database: transactions for the store operations, and one asynchronous call around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from mailwright.store.blobs.api import BlobStore

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

FEW: Final = 50  # rows that are read or written briefly

Value = int | float | str | bytes | None
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Dialect:
    """The few words in which the databases differ."""

    name: str  # 'sqlite' or 'postgres'
    skip_locked: str  # appended to a SELECT that claims rows
    for_update: str  # appended to a SELECT whose rows will be changed


class Transaction(Protocol):
    """What a store operation works with. SQL is in the common dialect, with `?` for parameters."""

    dialect: Dialect
    blobs: BlobStore

    def all(self, sql: str, *params: Value) -> list[Row]:
        """All rows of a query."""
        ...

    def rows(self, sql: str, *params: Value) -> Iterator[Row]:
        """The rows of a query one after another, without keeping them all; nothing else is asked before the last."""
        ...

    def one(self, sql: str, *params: Value) -> Row | None:
        """The first row of a query, or None."""
        ...

    def run(self, sql: str, *params: Value) -> int:
        """Run a statement; the number of rows it changed."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run a statement once for each row of parameters."""
        ...

    def last_number(self) -> int:
        """The number that the database gave to the row inserted last, into a table that numbers its rows."""
        ...

    def announce(self, account: int, modseq: int) -> int:
        """Tell the subscribers of `account` that it reached `modseq`, once the transaction is durable.

        How often that was called before in this transaction: it numbers the rows of the change log.
        """
        ...


Operation = Callable[Concatenate[Transaction, P], T]


class Database(Protocol):
    """Runs store operations."""

    dialect: Dialect
    blobs: BlobStore

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a store operation and return its result once it is durable.

        Raises what the operation raises (its changes are undone), or a TemporaryFailure when the database
        cannot keep it (nothing is changed).
        """
        ...

    async def write_briefly(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `write`, for an operation that reads and writes about `FEW` rows at most.

        It may be run in the event loop itself, as long as it does not wait there.
        """
        ...

    async def write_together(self, operation: Operation[[Sequence[Item]], Sequence[T]], item: Item) -> T:
        """As `write_briefly`, for an operation that does many items at less than the cost of each.

        It may be given the items of others who wait too, in the order in which they came, and returns a result for
        each. When it raises, each item is tried alone, so it raises for that one only.
        """
        ...

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a store operation that only reads, on one consistent snapshot."""
        ...

    async def read_apart(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `read`, for an operation that keeps the interpreter busy for long: another process may run it.

        So its arguments and its result are pickled, and it changes neither.
        """
        ...

    async def read_unhurried(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `read_apart`, for what nobody waits for: it waits until a process is there."""
        ...

    async def read_briefly(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `read`, for an operation that reads about `FEW` rows, or half a megaoctet, at most.

        It may be run in the event loop itself, as long as it does not wait there. While many ask at once, those who
        write wait for those who read.
        """
        ...

    @property
    def pressed(self) -> bool:
        """Whether so many ask at once that the event loop should leave to others what they can do."""
        ...

    async def look_up(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `read_briefly`, for what a login or a delivery has to know: nobody waits for it."""
        ...

    def modseq(self, account: int, *, exact: bool = False) -> int | None:
        """The counter of an account, at once and in the event loop itself: whoever was answered has his write in it.

        What is committed, but not answered yet, and what another process writes is there a moment later; with `exact`
        all that a read would find. None: it cannot be had without waiting, so `read` it.
        """
        ...

    def write_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for a worker thread: it blocks."""
        ...

    async def start(self) -> None:
        """Open the database and bring its schema up to date."""
        ...

    async def close(self) -> None:
        """Finish what waits, then close."""
        ...


class Presence(Protocol):
    """That this process lives, as far as the others on the database know, and which of them do not."""

    name: str
    session: int  # another one each time the others begin to know; 0 while they do not

    async def start(self, on_taken: Callable[[], None]) -> None:
        """Let the others know; `on_taken` is called when a session begins."""
        ...

    async def stop(self) -> None:
        """Let the others know that it is over."""
        ...

    def gone(self, tx: Transaction) -> list[str]:
        """The processes that are dead for all one knows; `bury` makes sure. A store operation."""
        ...

    def bury(self, tx: Transaction, name: str) -> bool:
        """Forget a process; whether it is proved to be dead. A store operation.

        One that lives after all begins no session before its transaction has ended.
        """
        ...
