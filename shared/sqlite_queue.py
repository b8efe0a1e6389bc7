"""The queue on one machine: what is published is on the disk before its id is returned.

Any number of processes and threads may publish at once. The pushing is done by one ``shared.push.Pusher``.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection

from shared import wakeup
from shared.broker_file import Connect, connect, transaction, translated
from shared.group_commit import GroupCommit
from shared.ports import Clock
from shared.subscriptions import rfc3339

#: How long a lock is waited for when the caller sets no limit.
LOCKED_AT_MOST = timedelta(seconds=10)


def utc_now() -> datetime:
    """Return the host's time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What one subscription has yet to deliver; ``in_flight`` counts only while a pusher runs."""

    subscription: str
    waiting: int
    in_flight: int
    oldest_age_s: float  #: since the oldest of them was published; 0 if there is none


_Message = tuple[str, bytes, Mapping[str, str]]  #: topic, data, attributes


class SqliteQueue:
    """Publishes into the broker's file, one row a message and one a subscription of its topic.

    Each call opens the file anew, so an instance may be shared by threads, and carried over a fork unless
    somebody publishes at that moment. Those who publish at once share one commit.
    There are no retries: SQLite waits for a lock by itself, and a full disk is not mended by asking again.
    """

    def __init__(self, path: Path, clock: Clock = utc_now, open_file: Connect = connect) -> None:
        self.path, self.clock, self.open_file = path, clock, open_file
        self._commit = GroupCommit(self._written)

    @property
    def bell(self) -> Path:
        """Where the pusher is woken."""
        return self.path.with_name(self.path.name + ".bell")

    def publish(
        self,
        topic: str,
        data: bytes,
        attributes: Mapping[str, str] | None = None,
        *,
        within: timedelta | None = None,
    ) -> str:
        """Write a message down and wake the pusher; return the message's id.

        A topic nobody has subscribed to yet keeps its messages for the first who does.

        Raises
        ------
        QueueUnavailableError
            If the file was locked for longer than the given time, or the disk refused; it is not kept.
        """
        return self._commit((topic, data, attributes or {}), LOCKED_AT_MOST if within is None else within)

    def _written(self, messages: Sequence[_Message], within: timedelta) -> list[str]:
        with self._opened(within) as connection, transaction(connection, within):
            ids = [insert_message(connection, self.clock(), *message) for message in messages]
        wakeup.ring(self.bell)
        return ids

    def untried(self, topic: str) -> list[bytes]:
        """Return what no subscriber has been pushed yet."""
        with self._opened(timedelta(seconds=1)) as connection:
            return [data for (data,) in connection.execute(_UNTRIED, (topic,))]

    def ping(self) -> None:
        """Return if the file can be opened and read."""
        with self._opened(timedelta(seconds=1)) as connection:
            connection.execute("SELECT count(*) FROM subscriptions").fetchone()

    def depth(self) -> list[Depth]:
        """Return what each subscription has yet to deliver, by name."""
        with self._opened(LOCKED_AT_MOST) as connection:
            rows = connection.execute(_DEPTH).fetchall()
        now = self.clock()
        return [
            Depth(
                subscription=name,
                waiting=waiting,
                in_flight=in_flight,
                oldest_age_s=(now - datetime.fromisoformat(oldest)).total_seconds() if oldest else 0.0,
            )
            for name, waiting, in_flight, oldest in rows
        ]

    @contextmanager
    def _opened(self, within: timedelta) -> Iterator[Connection]:
        with translated(), closing(self.open_file(self.path, within)) as connection:
            # FULL: once the id is returned, the message survives a power cut, as the port promises.
            # It costs some ms; NORMAL would do too: the ledger is the truth, and the sweep publishes again.
            connection.execute("PRAGMA synchronous = FULL")
            yield connection


def insert_message(
    connection: Connection, now: datetime, topic: str, data: bytes, attributes: Mapping[str, str]
) -> str:
    """Write a message and its deliveries, inside the caller's transaction; return its id."""
    message_id = uuid.uuid4().hex
    connection.execute(
        "INSERT INTO messages VALUES (?, ?, ?, ?, ?)",
        (message_id, topic, data, json.dumps(dict(attributes)), rfc3339(now)),
    )
    connection.execute(
        "INSERT INTO deliveries (message, subscription, due)"
        " SELECT ?, name, ? FROM subscriptions WHERE topic = ?",
        (message_id, now.timestamp(), topic),
    )
    return message_id


_UNTRIED = """
SELECT data FROM messages JOIN deliveries ON message = id WHERE topic = ? AND refusals = 0 AND in_flight = 0
"""

_DEPTH = """
SELECT s.name, count(*) FILTER (WHERE d.in_flight = 0), count(*) FILTER (WHERE d.in_flight = 1),
    min(m.published_at)
FROM subscriptions s
LEFT JOIN deliveries d ON d.subscription = s.name
LEFT JOIN messages m ON m.id = d.message
GROUP BY s.name ORDER BY s.name
"""
