"""When jobs begin and are answered, turn by turn of an event loop whose clock the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from mailwright.store.db import gather
from mailwright.store.db.gather import Gatherer
from mailwright.store.db.jobs import Job

_MILLISECOND = 0.001


class House:
    """An event loop of which each turn takes as long as the test says, and a database that the test makes busy."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reads = 0
        self.busy = False
        self.begun: list[list[Job]] = []
        self.gatherer = Gatherer(self.begun.append, lambda: self.busy, lambda: self.reads)
        self.real = asyncio.new_event_loop()
        self._soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._later: list[tuple[float, Callable[..., None]]] = []

    def call_soon(self, function: Callable[..., None], *args: object) -> None:
        self._soon.append((function, args))

    def call_later(self, delay: float, function: Callable[..., None]) -> None:
        self._later.append((self.now + delay, function))

    def monotonic(self) -> float:
        return self.now

    def write(self, count: int = 1) -> list[Job]:
        jobs = [Job(print, (), {}, self.real.create_future(), brief=True) for _ in range(count)]
        for number, job in enumerate(jobs):
            job.result = number
            self.gatherer.add(job, cast(asyncio.AbstractEventLoop, self))
        return jobs

    def turn(self, seconds: float = 0.0, reads: int = 0) -> None:
        """One turn, in which others did so much."""
        for due, function in self._later.copy():
            if due <= self.now:
                self._later.remove((due, function))
                self._soon.append((function, ()))
        soon, self._soon = self._soon, []
        for function, args in soon:
            function(*args)
        self.now += seconds
        self.reads += reads

    def turn_until(self, condition: Callable[[], bool], seconds: float, reads: int) -> float:
        """Turn until it holds; how long that took."""
        began = self.now
        while not condition():
            assert self.now - began < 60, "for ever"
            self.turn(seconds, reads)
        return self.now - began

    @property
    def sizes(self) -> list[int]:
        return [len(jobs) for jobs in self.begun]

    @property
    def resting(self) -> bool:
        return not self._soon


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    found = House()
    monkeypatch.setattr(gather, "time", found)
    yield found
    found.real.close()


def test_with_nothing_else_to_do_a_job_begins_and_is_answered_at_once(house: House) -> None:
    (job,) = house.write()
    house.turn()
    house.turn()
    assert house.sizes == [1]
    house.gatherer.answer([job])
    assert job.future.done()
    assert house.resting


def test_a_loop_with_other_work_gathers_for_a_while(house: House) -> None:
    first = house.write()
    house.turn(_MILLISECOND)
    second = house.write()
    house.turn(_MILLISECOND)
    assert not house.begun
    house.turn_until(lambda: bool(house.begun), 0.5 * _MILLISECOND, reads=0)
    assert house.begun == [first + second]


def test_what_comes_in_crowds_begins_a_millisecond_apart(house: House) -> None:
    for number in range(8):
        house.write(5)
        house.turn_until(lambda: len(house.begun) > number, 0.00001, reads=0)  # noqa: B023
    crowd = len(house.begun)
    house.write(5)
    house.turn(0.00001)
    house.turn(0.00001)
    assert len(house.begun) == crowd
    assert house.resting  # it waits for a timer
    more = house.write(5)
    began = house.now
    house.turn_until(lambda: len(house.begun) > crowd, 0.00001, reads=0)
    assert 0.0009 < house.now - began < 0.0011
    assert house.begun[-1][5:] == more


def test_whoever_writes_alone_waits_for_no_crowd(house: House) -> None:
    for number in range(8):
        house.write()
        house.turn()
        house.turn()
        assert len(house.begun) == number + 1


def test_those_who_read_go_before_those_who_write(house: House) -> None:
    house.write(100)
    took = house.turn_until(lambda: bool(house.begun), _MILLISECOND, reads=1)
    assert 0.19 < took < 0.25  # 2 ms for each of them
    assert house.sizes == [32]


def test_however_many_read_a_lone_job_waits_for_two_milliseconds(house: House) -> None:
    house.write()
    assert house.turn_until(lambda: bool(house.begun), 0.5 * _MILLISECOND, reads=1) < 0.004


def test_however_many_write_they_wait_for_a_quarter_of_a_second(house: House) -> None:
    house.write(1000)
    took = house.turn_until(lambda: sum(house.sizes) == 1000, _MILLISECOND, reads=1)
    assert 0.25 < took < 0.30


def test_jobs_that_pile_up_behind_readers_press(house: House) -> None:
    house.write(7)
    house.turn_until(lambda: house.gatherer._others_read(house.now), _MILLISECOND, reads=1)
    assert not house.gatherer.pressed
    house.write(1)
    assert house.gatherer.pressed
    house.busy = True
    house.turn(1.0)
    assert not house.gatherer.pressed  # for nobody reads any more


def test_when_the_readers_rest_writers_go_on(house: House) -> None:
    house.write(100)
    for _ in range(50):
        house.turn(_MILLISECOND, reads=1)
    house.turn(0.00001)
    assert not house.begun
    house.turn()
    assert house.sizes == [32]
    assert house.turn_until(lambda: sum(house.sizes) == 100, 0.00001, reads=0) < 0.001


def test_what_is_done_is_answered_one_by_one_while_others_read(house: House) -> None:
    jobs = house.write(20)
    house.turn_until(lambda: bool(house.begun), _MILLISECOND, reads=1)
    house.gatherer.answer(jobs)
    began = house.now
    for number, job in enumerate(jobs):
        house.turn_until(job.future.done, 0.5 * _MILLISECOND, reads=1)
        assert not any(later.future.done() for later in jobs[number + 1 :])
    assert 0.03 < house.now - began < 0.05  # 2 ms for each of them
    assert [job.future.result() for job in jobs] == list(range(20))


def test_an_answer_goes_in_each_turn_that_leaves_time_for_it(house: House) -> None:
    jobs = house.write(20)
    house.turn_until(lambda: bool(house.begun), _MILLISECOND, reads=1)
    house.gatherer.answer(jobs)
    assert house.turn_until(lambda: all(job.future.done() for job in jobs), 0.00002, reads=1) < 0.001


def test_the_next_ones_begin_when_the_last_ones_are_kept(house: House) -> None:
    jobs = house.write(64)
    house.turn_until(lambda: bool(house.begun), _MILLISECOND, reads=1)
    house.busy = True
    for _ in range(500):
        house.turn(_MILLISECOND, reads=1)
    assert house.sizes == [32]
    assert house.resting  # it does not turn for nothing
    house.busy = False
    house.gatherer.freed()
    house.turn_until(lambda: len(house.begun) == 2, _MILLISECOND, reads=1)
    assert house.begun == [jobs[:32], jobs[32:]]


def test_whoever_has_gone_needs_no_answer(house: House) -> None:
    jobs = house.write(3)
    house.turn_until(lambda: bool(house.begun), _MILLISECOND, reads=1)
    house.gatherer.answer(jobs)
    jobs[0].future.cancel()
    house.turn_until(lambda: jobs[2].future.done(), _MILLISECOND, reads=1)
    assert [job.future.result() for job in jobs[1:]] == [1, 2]


def test_the_end_begins_and_answers_everything(house: House) -> None:
    jobs = house.write(100)
    house.turn_until(lambda: bool(house.begun), _MILLISECOND, reads=1)
    house.gatherer.answer(jobs[:32])
    house.gatherer.hurry()
    assert house.sizes == [32, 68]
    assert all(job.future.done() for job in jobs[:32])
    house.gatherer.answer(jobs[32:])
    assert all(job.future.done() for job in jobs)
    house.turn_until(lambda: house.resting, 0.0, reads=0)
