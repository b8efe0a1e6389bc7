"""Group commit: who comes at once is written together, gets what is theirs, waits no longer than asked."""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import NoneType

import pytest

from shared.broker_file import connect
from shared.errors import QueueUnavailableError
from shared.group_commit import GroupCommit
from shared.sqlite_queue import SqliteQueue

LONG = timedelta(seconds=20)


class Disk:
    """Writes numbers down, and can be held up, or fail."""

    def __init__(self) -> None:
        self.written: list[list[int]] = []
        self.is_held = threading.Event()
        self.turns: threading.Semaphore | None = None  #: each write takes one, once the disk is held up
        self.fails: list[BaseException | None] = []  #: of writes to come
        self.mistake: int | None = None
        self.withins: list[timedelta] = []
        self.commit = GroupCommit(self._write)

    def _write(self, items: Sequence[int], within: timedelta) -> list[str]:
        self.withins.append(within)
        self.is_held.set()
        if self.turns:
            assert self.turns.acquire(timeout=LONG.total_seconds())
        if self.fails and (error := self.fails.pop(0)):
            raise error
        if self.mistake in items:
            raise ZeroDivisionError
        self.written.append(list(items))
        return [f"id of {item}" for item in items]

    def hold(self) -> None:
        self.is_held.clear()
        self.turns = threading.Semaphore(0)

    def hold_next(self) -> None:
        """Let the write that is held up end, and wait until the next one is."""
        self.is_held.clear()
        self.go_on(1)
        assert self.is_held.wait(LONG.total_seconds()), "nobody writes what waits"

    def go_on(self, writes: int = 100) -> None:
        self.turns.release(writes)

    def all_written(self) -> list[int]:
        return [number for batch in self.written for number in batch]

    def await_waiting(self, number: int) -> None:
        until = time.monotonic() + LONG.total_seconds()
        while len(self.commit._waiting) != number:
            assert time.monotonic() < until, f"{len(self.commit._waiting)} wait, expected {number}"
            time.sleep(0.001)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(32) as pool:
        yield pool


def led_by(disk: Disk, pool: ThreadPoolExecutor, followers: int) -> list[Future]:
    """Let one be at the disk, which is held up, and others come meanwhile."""
    disk.hold()
    futures = [pool.submit(disk.commit, 0, LONG)]
    assert disk.is_held.wait(LONG.total_seconds())
    futures += [pool.submit(disk.commit, n, LONG) for n in range(1, followers + 1)]
    disk.await_waiting(followers)
    return futures


def test_one_alone_is_written_alone(disk: Disk) -> None:
    assert disk.commit(7, LONG) == "id of 7"
    assert disk.written == [[7]]
    assert timedelta(seconds=19) < disk.withins[0] <= LONG


def test_those_who_come_while_one_is_written_are_written_together(disk: Disk, pool) -> None:
    futures = led_by(disk, pool, 8)
    disk.go_on()
    assert [future.result() for future in futures] == [f"id of {n}" for n in range(9)]
    assert [sorted(batch) for batch in disk.written] == [[0], list(range(1, 9))]


def test_each_gets_what_is_theirs_and_nothing_is_written_twice(disk: Disk, pool) -> None:
    assert list(pool.map(lambda n: disk.commit(n, LONG), range(2000))) == [f"id of {n}" for n in range(2000)]
    assert sorted(disk.all_written()) == list(range(2000))


def test_whoever_is_written_returns_though_others_are_being_written(disk: Disk, pool) -> None:
    futures = led_by(disk, pool, 8)
    disk.hold_next()
    late = pool.submit(disk.commit, 9, LONG)
    disk.await_waiting(1)
    disk.hold_next()
    assert [future.result(5) for future in futures] == [f"id of {n}" for n in range(9)]
    disk.go_on()
    assert late.result() == "id of 9"


# --- failures ---------------------------------------------------------------------------------------


def test_a_disk_that_fails_is_told_to_all_that_were_to_be_written_and_not_asked_again(disk, pool) -> None:
    futures = led_by(disk, pool, 3)
    disk.hold_next()
    disk.fails = [QueueUnavailableError("full")]
    disk.go_on()
    assert [str(future.exception()) for future in futures] == ["None", "full", "full", "full"]
    assert disk.written == [[0]]


def test_one_in_haste_does_not_make_the_patient_fail(disk: Disk, pool) -> None:
    futures = led_by(disk, pool, 5)
    hasty = pool.submit(disk.commit, 99, timedelta(seconds=0.5))
    disk.await_waiting(6)
    disk.hold_next()
    assert disk.withins[1] <= timedelta(seconds=0.5), "it would have to wait for as long as the patient"
    time.sleep(0.7)
    disk.fails = [QueueUnavailableError("locked")]
    disk.go_on()
    assert str(hasty.exception()) == "locked"
    assert [future.result() for future in futures] == [f"id of {n}" for n in range(6)]
    assert [sorted(batch) for batch in disk.written] == [[0], [1, 2, 3, 4, 5]]


def test_a_mistake_in_one_is_told_to_its_caller_alone(disk: Disk, pool) -> None:
    futures = led_by(disk, pool, 4)
    disk.mistake = 3
    disk.go_on()
    assert [type(future.exception()) for future in futures] == [NoneType] * 3 + [ZeroDivisionError, NoneType]
    assert sorted(disk.all_written()) == [0, 1, 2, 4]


def test_one_that_is_interrupted_as_it_writes_leaves_the_others_to_themselves(disk: Disk, pool) -> None:
    futures = led_by(disk, pool, 4)
    disk.fails = [None, KeyboardInterrupt()]
    disk.go_on()
    ended = [type(future.exception()) for future in futures]
    assert ended.count(KeyboardInterrupt) == 1
    assert sorted(disk.all_written()) == [n for n, error in enumerate(ended) if error is NoneType]
    assert disk.commit(5, LONG) == "id of 5"


def test_one_that_is_interrupted_as_it_waits_is_never_written(disk: Disk, pool, monkeypatch) -> None:
    (first,) = led_by(disk, pool, 0)

    def interrupted(_timeout: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(disk.commit._changed, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            disk.commit(1, LONG)
    disk.go_on()
    first.result()
    disk.commit(2, LONG)
    assert disk.written == [[0], [2]]


# --- time -------------------------------------------------------------------------------------------


def test_one_without_any_time_is_tried_once(disk: Disk) -> None:
    assert disk.commit(1, timedelta(0)) == "id of 1"


def test_one_whose_time_is_over_before_its_turn_is_never_written(disk: Disk, pool) -> None:
    (first,) = led_by(disk, pool, 0)
    with pytest.raises(QueueUnavailableError, match="busy for longer"):
        disk.commit(1, timedelta(milliseconds=20))
    disk.go_on()
    first.result()
    assert disk.commit(2, LONG) == "id of 2"
    assert disk.written == [[0], [2]]


def test_one_whose_time_is_over_while_it_is_written_is_told_what_became_of_it(disk: Disk, pool) -> None:
    futures = led_by(disk, pool, 15)
    impatient = pool.submit(disk.commit, 99, timedelta(seconds=0.5))
    disk.await_waiting(16)
    disk.hold_next()
    time.sleep(0.7)
    disk.go_on()
    assert impatient.result() == "id of 99"
    assert [future.result() for future in futures] == [f"id of {n}" for n in range(16)]
    assert len(disk.written) == 2


def test_a_fork_does_not_inherit_a_turn_that_nobody_would_end(disk: Disk, pool) -> None:
    (first,) = led_by(disk, pool, 0)
    child = os.fork()
    if child == 0:
        disk.go_on()
        os._exit(0 if disk.commit(1, timedelta(seconds=5)) == "id of 1" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    disk.go_on()
    first.result()


def test_messages_that_are_published_at_once_share_a_commit(tmp_path: Path, pool) -> None:
    opened: list[Path] = []

    def open_file(path: Path, within: timedelta):
        opened.append(path)
        until = time.monotonic() + LONG.total_seconds()
        while len(opened) == 1 and len(queue._commit._waiting) < 31:
            assert time.monotonic() < until, "31 others do not wait while the first is written"
            time.sleep(0.001)
        return connect(path, within)

    queue = SqliteQueue(tmp_path / "queue.db", open_file=open_file)
    ids = list(pool.map(lambda n: queue.publish("jobs", b"%d" % n, {"n": str(n)}), range(32)))
    assert len(opened) == 2
    with queue._opened(LONG) as connection:
        rows = connection.execute("SELECT id, data, attributes FROM messages").fetchall()
    assert sorted(rows) == sorted((id_, b"%d" % n, f'{{"n": "{n}"}}') for n, id_ in enumerate(ids))
