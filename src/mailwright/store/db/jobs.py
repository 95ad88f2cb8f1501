"""Operations that wait for the connection that writes, and how they share a transaction.

When one of them refuses, all are run again with a savepoint for each; when the transaction fails as a whole, each is
tried once more alone, so that one that cannot be kept (a full disk met by a large message) does not take the others
with it. So operations may run more than once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import apsw

from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.file import STORAGE_ERRORS, SQLiteTransaction, as_store_error

log = logging.getLogger(__name__)

Changed = dict[int, int]  # the accounts that a transaction changed, with their counters


class _Refused(Exception):
    """An operation raised: those that share its transaction are run again with savepoints."""


class Job:
    """An operation that somebody waits for. Of one that is `together`, the only argument is its item."""

    __slots__ = ("args", "brief", "error", "future", "kwargs", "operation", "result", "together")

    def __init__(
        self,
        operation: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        future: Future[Any] | asyncio.Future[Any],
        *,
        together: bool = False,
        brief: bool = False,
    ) -> None:
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.future = future
        self.together = together
        self.brief = brief
        self.result: Any = None
        self.error: BaseException | None = None

    def fulfil(self) -> None:
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


_Unit = list[Job]  # jobs that are one call of their operation; alone, but for those that are `together`


class Transactions:
    """Those of the connection that writes; used by one thread at a time. A job has its result or its error after it."""

    def __init__(self, connection: apsw.Connection, blobs: BlobStore, patience: float) -> None:
        self._connection = connection
        self._blobs = blobs
        self._patience = int(patience * 1000)  # milliseconds to wait for another process that writes
        connection.set_busy_timeout(0)

    def begin(self, jobs: Sequence[Job]) -> Changed | None:
        """Run the jobs in a transaction that `commit` ends, without waiting for anyone. None: `run_again` them."""
        try:
            return self._begin(_units(jobs))
        except Exception as error:  # it will be told by what fails again
            log.debug("a transaction is run again: %r", error)
            return None

    def commit(self, jobs: Sequence[Job], changed: Changed) -> Changed:
        """Make durable what was begun; it blocks."""
        return self._patiently(jobs, lambda: self._or_each(jobs, lambda: self._end(changed)))

    def run(self, jobs: Sequence[Job]) -> Changed:
        """Run and commit the jobs; it blocks."""
        return self._patiently(jobs, lambda: self._or_each(jobs, lambda: self._run(_units(jobs))))

    def run_again(self, jobs: Sequence[Job]) -> Changed:
        """`run` jobs of which one refused, or that could not begin."""
        return self._patiently(jobs, lambda: self._each(jobs))

    def _patiently(self, jobs: Sequence[Job], run: Callable[[], Changed]) -> Changed:
        self._connection.set_busy_timeout(self._patience)
        try:
            return run()
        except BaseException as error:  # the writer must outlive whatever an operation does
            for job in jobs:
                job.error = error
            log.exception("the writer met an unexpected error")
            return {}
        finally:
            self._connection.set_busy_timeout(0)

    def _or_each(self, jobs: Sequence[Job], run: Callable[[], Changed]) -> Changed:
        try:
            return run()
        except _Refused:
            pass
        except apsw.Error as error:
            if len(jobs) == 1:
                return _fail(jobs[0], error)
        return self._each(jobs)

    def _each(self, jobs: Sequence[Job]) -> Changed:
        """Run each job in a savepoint, or, when the transaction fails, in a transaction of its own."""
        try:
            return self._run([[job] for job in jobs], savepoints=True)
        except apsw.Error as error:
            if len(jobs) == 1:
                return _fail(jobs[0], error)
        changed: Changed = {}
        for job in jobs:
            changed.update(self._each([job]))
        return changed

    def _run(self, units: Iterable[_Unit], *, savepoints: bool = False) -> Changed:
        return self._end(self._begin(units, savepoints=savepoints))

    def _begin(self, units: Iterable[_Unit], *, savepoints: bool = False) -> Changed:
        changed: Changed = {}
        run = self._run_in_savepoint if savepoints else self._run_unit
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for unit in units:
                changed.update(run(unit))
        except BaseException:
            self._roll_back()
            raise
        return changed

    def _end(self, changed: Changed) -> Changed:
        try:
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        return changed

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _run_unit(self, unit: _Unit) -> Changed:
        tx = SQLiteTransaction(self._connection, self._blobs)
        try:
            _call(tx, unit)
        except STORAGE_ERRORS:
            raise
        except Exception as error:
            raise _Refused from error
        finally:
            tx.end()
        return tx.announced

    def _run_in_savepoint(self, unit: _Unit) -> Changed:
        tx = SQLiteTransaction(self._connection, self._blobs)
        self._connection.execute("SAVEPOINT job")
        try:
            _call(tx, unit)
        except STORAGE_ERRORS:
            raise  # the transaction itself may be lost: each job is tried alone
        except Exception as error:
            self._connection.execute("ROLLBACK TO job")
            for job in unit:
                job.error = error
            tx.announced.clear()
        finally:
            tx.end()
        self._connection.execute("RELEASE job")
        return tx.announced


def _fail(job: Job, error: apsw.Error) -> Changed:
    job.error = as_store_error(error)
    log.error("a write failed: %s", job.error)
    return {}


def _units(jobs: Iterable[Job]) -> list[_Unit]:
    """What is `together` with the same operation becomes one unit."""
    units: list[_Unit] = []
    together: dict[Callable[..., Any], _Unit] = {}
    for job in jobs:
        if not job.together:
            units.append([job])
        elif job.operation in together:
            together[job.operation].append(job)
        else:
            units.append(together.setdefault(job.operation, [job]))
    return units


def _call(tx: SQLiteTransaction, unit: _Unit) -> None:
    """Run the operation of a unit and give its jobs their results."""
    first = unit[0]
    if first.together:
        results = first.operation(tx, [job.args[0] for job in unit])
        for job, result in zip(unit, results, strict=True):
            job.result, job.error = result, None
    else:
        first.result, first.error = first.operation(tx, *first.args, **first.kwargs), None
