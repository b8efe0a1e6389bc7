"""The file of the embedded broker: opened anew for each piece of work, so that nothing is shared over a fork.

Opening costs about 0.4 ms and buys that a file moved aside or deleted is never written to by a process
that still holds it. SQLite's errors become ours in one table here.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from shared.errors import QueueUnavailableError

log = logging.getLogger(__name__)

Connect = Callable[[Path, timedelta], sqlite3.Connection]

_VERSION = 1

# `in_flight` is for operators to see, and for the pusher; it means nothing while no pusher runs.
# A message without deliveries belongs to a topic that nobody has subscribed to yet.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS subscriptions (name TEXT PRIMARY KEY, topic TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, topic TEXT NOT NULL, data BLOB NOT NULL, attributes TEXT NOT NULL,
    published_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
    message TEXT NOT NULL, subscription TEXT NOT NULL, refusals INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL, in_flight INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (message, subscription)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (subscription, in_flight, due);
PRAGMA user_version = {_VERSION};
COMMIT;
"""

_TAKEN_BY_ANOTHER = "The queue was busy for longer than the time given; try again."
_DAMAGED = "The queue's file is damaged; restarting the local stack moves it aside."
_UNREACHABLE = "The queue's file cannot be opened or written; check its folder and rights."
_CODES: dict[int, str] = {
    sqlite3.SQLITE_FULL: "The queue's disk is full; it goes on when room is made.",
    sqlite3.SQLITE_BUSY: _TAKEN_BY_ANOTHER,
    sqlite3.SQLITE_LOCKED: _TAKEN_BY_ANOTHER,
    sqlite3.SQLITE_PROTOCOL: _TAKEN_BY_ANOTHER,
    sqlite3.SQLITE_IOERR: "The queue's disk failed to read or write; it may be full.",
    sqlite3.SQLITE_NOMEM: "The queue found no memory; try again.",
    sqlite3.SQLITE_CANTOPEN: _UNREACHABLE,
    sqlite3.SQLITE_PERM: _UNREACHABLE,
    sqlite3.SQLITE_READONLY: _UNREACHABLE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLite raises for reasons that pass into ``QueueUnavailableError``."""
    try:
        yield
    except sqlite3.Error as error:
        detail = _CODES.get(_primary_code(error))
        if detail is None:
            raise  # a mistake in our SQL: asking again would not help
        raise QueueUnavailableError(detail) from error


def connect(path: Path, within: timedelta) -> sqlite3.Connection:
    """Open the broker's file, making it if there is none; a lock is waited for as long as given."""
    connection = sqlite3.connect(path, timeout=within.total_seconds(), isolation_level=None)
    try:
        if _version(connection) != _VERSION:
            # WAL: readers and the one writer do not wait for each other, and a commit is one append.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, within: timedelta) -> Iterator[None]:
    """Do all of it or nothing; the lock is waited for here, as long as given, and nowhere else."""
    _lock(connection, time.monotonic() + within.total_seconds())
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise


def _lock(connection: sqlite3.Connection, until: float) -> None:
    # SQLite's own waiting sleeps up to 100 ms between looks: a busy publisher starved the pusher for seconds.
    connection.execute("PRAGMA busy_timeout = 1")
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        else:
            return


def set_aside_if_damaged(path: Path, now: datetime) -> Path | None:
    """Move a damaged file out of the way, loudly, and return where it is; called before anybody opens it.

    What was in it is published again by the sweep, since the ledger still owes it.

    Raises
    ------
    QueueUnavailableError
        If the file cannot be judged, for reasons that pass.
    """
    if not path.exists() or not _is_damaged(path):
        return None
    aside = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%S%f}")
    # The log first: a new file must never meet an old log.
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    log.error("queue.set_aside", extra={"file": str(path), "moved_to": str(aside)})
    return aside


def _is_damaged(path: Path) -> bool:
    with translated():
        try:
            with closing(sqlite3.connect(path, timeout=2.0, isolation_level=None)) as connection:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                return verdict != "ok" or _version(connection) not in (0, _VERSION)
        except sqlite3.DatabaseError as error:
            if _primary_code(error) in _DAMAGE:
                return True
            raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _primary_code(error: sqlite3.Error) -> int:
    # Errors that Python's own checks raise carry no code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
