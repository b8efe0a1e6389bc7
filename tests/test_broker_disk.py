"""A disk that is locked, full, damaged or wiped makes the broker unavailable, loudly, and never for good."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.broker_file import connect, set_aside_if_damaged
from shared.errors import QueueUnavailableError
from shared.sqlite_queue import SqliteQueue
from tests.contracts.queues import sqlite, subscription, wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def broker(request) -> Iterator:
    with sqlite(request) as under_test:
        yield under_test


def drain(broker) -> None:
    wait_until(lambda: broker.backlog() == 0)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process's long write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_locked_file_is_waited_for_only_as_long_as_given(broker) -> None:
    broker.queue.ping()
    with locked(broker.queue.path):
        began = time.monotonic()
        with pytest.raises(QueueUnavailableError, match="busy"):
            broker.queue.publish("jobs", b"x", within=timedelta(seconds=0.2))
        assert 0.2 <= time.monotonic() - began < 0.6
    broker.queue.publish("jobs", b"x", within=timedelta(seconds=0.2))


def test_an_answer_is_kept_until_a_locked_file_can_take_it(broker) -> None:
    broker.subscribe(subscription())
    broker.receiver.gate.clear()
    broker.queue.publish("jobs", b"x")
    wait_until(lambda: broker.receiver.at_once == 1)
    with locked(broker.queue.path):
        broker.receiver.gate.set()
        wait_until(lambda: broker.pusher._trouble != "")
    drain(broker)
    assert len(broker.receiver.pushes) == 1, "it was acknowledged once, so it is not pushed again"


def test_a_full_disk_refuses_and_heals(broker) -> None:
    room = {"pages": 30}

    def open_full(path: Path, within: timedelta) -> sqlite3.Connection:
        connection = connect(path, within)
        connection.execute(f"PRAGMA max_page_count = {room['pages']}")
        return connection

    full = SqliteQueue(broker.queue.path, open_file=open_full)
    taken: list[bytes] = []
    with pytest.raises(QueueUnavailableError, match="disk is full"):
        publish_until_refused(full, taken)
    assert taken
    room["pages"] = 1000
    full.publish("jobs", b"after")
    broker.subscribe(subscription())
    drain(broker)
    arrived = {push.data.rstrip(b".") for push in broker.receiver.pushes}
    assert arrived == {b"after", *taken}


def publish_until_refused(queue: SqliteQueue, taken: list[bytes]) -> None:
    for n in range(100):
        queue.publish("jobs", b"%d" % n + b"." * 4000)
        taken.append(b"%d" % n)


def test_a_folder_that_is_not_there_is_unavailable(tmp_path) -> None:
    with pytest.raises(QueueUnavailableError, match="cannot be opened"):
        SqliteQueue(tmp_path / "nowhere" / "queue.db").ping()


def overwrite(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + 4096] = os.urandom(4096)
    path.write_bytes(data)


DAMAGES = {
    "first page": lambda path: overwrite(path, 0),
    "later page": lambda path: overwrite(path, 3 * 4096),
    "cut off": lambda path: os.truncate(path, 3 * 4096),
    "not a database": lambda path: path.write_text("hello " * 5000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_moved_aside_loudly(broker, damage, caplog) -> None:
    for n in range(20):
        broker.queue.publish("jobs", b"%d" % n * 500)
    DAMAGES[damage](broker.queue.path)
    damaged = broker.queue.path.read_bytes()
    aside = set_aside_if_damaged(broker.queue.path, NOW)
    assert aside is not None
    assert aside.read_bytes() == damaged
    assert [(r.message, r.levelno) for r in caplog.records] == [("queue.set_aside", logging.ERROR)]
    broker.subscribe(subscription())
    broker.queue.publish("jobs", b"new")
    drain(broker)
    assert [push.data for push in broker.receiver.pushes] == [b"new"]


def test_the_log_of_a_damaged_file_goes_with_it(broker) -> None:
    broker.queue.publish("jobs", b"x")
    with closing(connect(broker.queue.path, timedelta(seconds=1))) as killed:
        killed.execute("SELECT * FROM messages").fetchall()  # the log lives while somebody has the file open
        overwrite(broker.queue.path, 0)
        aside = set_aside_if_damaged(broker.queue.path, NOW)
    assert aside is not None
    assert aside.with_name(aside.name + "-wal").exists()
    assert list(broker.queue.path.parent.glob("queue.db")) == []
    assert list(broker.queue.path.parent.glob("queue.db-wal")) == []


def test_a_damaged_file_is_unavailable_until_then(broker) -> None:
    broker.queue.path.write_text("hello " * 5000)
    with pytest.raises(QueueUnavailableError, match="damaged"):
        broker.queue.publish("jobs", b"x")


def test_a_healthy_file_stays_where_it_is(broker) -> None:
    assert set_aside_if_damaged(broker.queue.path, NOW) is None  # there is none yet
    broker.queue.publish("jobs", b"x")
    assert set_aside_if_damaged(broker.queue.path, NOW) is None
    broker.subscribe(subscription())
    drain(broker)


def test_a_file_deleted_under_the_pusher_is_made_anew(broker) -> None:
    broker.subscribe(subscription())
    broker.queue.publish("jobs", b"before")
    drain(broker)
    for part in broker.queue.path.parent.glob("queue.db*"):
        part.unlink()
    broker.queue.publish("jobs", b"x")
    wait_until(lambda: [push.data for push in broker.receiver.pushes] == [b"before", b"x"])
