"""The pusher's side of the broker's file: which deliveries are due, and what became of each.

One pusher at a time (a lock on the data folder sees to it), so a delivery in flight needs no lease: what a
killed pusher left in flight is due again when the next one opens the file.
"""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.broker_file import transaction, translated
from shared.messages import Envelope
from shared.sqlite_queue import SqliteQueue, insert_message
from shared.subscriptions import Subscription, rfc3339

#: A lock is waited for this long at most, so that a stop is never kept waiting.
_LOCKED_AT_MOST = timedelta(seconds=0.5)
#: A message that nobody has subscribed to is dropped after this long, as in Pub/Sub.
KEPT_FOR = timedelta(days=7)

Key = tuple[str, str]  #: message id, subscription name


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message taken from the file to be pushed to one subscription."""

    subscription: Subscription
    envelope: Envelope
    published_at: str

    @property
    def key(self) -> Key:
        """What names this delivery, in this file and in any that replaces it."""
        return self.envelope.message_id, self.subscription.name

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1; an attempt cut short by the pusher's own death is not counted."""
        return self.envelope.attempt or 1


class Deliveries:
    """One connection, used by one thread, with the file's identity."""

    def __init__(self, connection: sqlite3.Connection, queue: SqliteQueue) -> None:
        self._connection, self._queue = connection, queue
        self._inode = os.stat(queue.path).st_ino  # noqa: PTH116 - asked for on each turn, and 5 times cheaper

    def is_replaced(self) -> bool:
        """Whether the file was deleted or moved since it was opened."""
        try:
            return os.stat(self._queue.path).st_ino != self._inode  # noqa: PTH116 - as above
        except FileNotFoundError:
            return True

    def declare(self, subscriptions: Iterable[Subscription], in_flight: Collection[Key]) -> None:
        """Make these the subscriptions; what has had none so far, or is not in flight any more, is due."""
        now = self._queue.clock()
        with self._transaction() as connection:
            connection.execute("DELETE FROM subscriptions")
            connection.executemany(
                "INSERT INTO subscriptions VALUES (?, ?)", [(s.name, s.topic) for s in subscriptions]
            )
            connection.execute(_DELETE_UNDECLARED)
            connection.execute("UPDATE deliveries SET in_flight = 0 WHERE in_flight")
            connection.executemany(_MARK, in_flight)
            connection.execute(_FAN_OUT, (now.timestamp(),))
            connection.execute(_DELETE_UNCLAIMED, (rfc3339(now - KEPT_FOR),))

    def take(self, subscription: Subscription, at_most: int) -> list[Delivery]:
        """Take deliveries that are due, oldest first, and mark them as in flight."""
        now_s = self._queue.clock().timestamp()
        # Due later than any back-off can make it: the host's clock was turned back, and the wait is void.
        beyond_s = now_s + subscription.max_backoff_s + 1
        with translated():
            rows = self._connection.execute(_DUE, (subscription.name, now_s, beyond_s, at_most)).fetchall()
        taken = [_delivery(subscription, row) for row in rows]
        if taken:
            with self._transaction() as connection:
                connection.executemany(_MARK, [delivery.key for delivery in taken])
        return taken

    def next_due_s(self, subscription: Subscription) -> float | None:
        """Return when the next waiting delivery is due, in seconds since the epoch."""
        with translated():
            row = self._connection.execute(_NEXT_DUE, (subscription.name,)).fetchone()
        due_s: float | None = row[0]
        return due_s

    @contextmanager
    def settling(self) -> Iterator["Settlement"]:
        """Record what became of deliveries, all of it or nothing."""
        with self._transaction() as connection:
            yield Settlement(connection, self._queue.clock())

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with translated(), transaction(self._connection, _LOCKED_AT_MOST):
            yield self._connection


class Settlement:
    """What became of deliveries, inside one transaction."""

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self._connection, self._now = connection, now

    def acknowledge(self, delivery: Delivery) -> None:
        """Delete the delivery, and the message with its last one."""
        self._connection.execute(_DELETE, delivery.key)
        self._connection.execute(_DELETE_DELIVERED, delivery.key[:1])

    def postpone(self, delivery: Delivery, wait_s: float) -> None:
        """Count a refusal and bring the delivery back later."""
        due_s = self._now.timestamp() + wait_s
        self._connection.execute(_POSTPONE, (due_s, *delivery.key))

    def put_back(self, delivery: Delivery) -> None:
        """Leave the delivery as it was before it was taken."""
        self._connection.execute(_PUT_BACK, delivery.key)

    def bury(self, delivery: Delivery, topic: str) -> None:
        """Publish the message to the dead letters instead."""
        attributes = delivery.subscription.dead_letter_attributes(
            delivery.envelope.attributes, delivery.attempt, delivery.published_at
        )
        insert_message(self._connection, self._now, topic, delivery.envelope.data, attributes)
        self.acknowledge(delivery)


@contextmanager
def opened(queue: SqliteQueue) -> Iterator[Deliveries]:
    """Open the broker's file for pushing."""
    with translated(), closing(queue.open_file(queue.path, _LOCKED_AT_MOST)) as connection:
        # NORMAL: an acknowledgement lost in a power cut is only one more delivery.
        connection.execute("PRAGMA synchronous = NORMAL")
        yield Deliveries(connection, queue)


def _delivery(subscription: Subscription, row: tuple[str, int, bytes, str, str]) -> Delivery:
    message_id, refusals, data, attributes, published_at = row
    envelope = Envelope(
        message_id=message_id,
        data=data,
        attributes=json.loads(attributes),
        attempt=refusals + 1,
        subscription=subscription.path,
    )
    return Delivery(subscription=subscription, envelope=envelope, published_at=published_at)


_MARK = "UPDATE deliveries SET in_flight = 1 WHERE message = ? AND subscription = ?"
_PUT_BACK = "UPDATE deliveries SET in_flight = 0 WHERE message = ? AND subscription = ?"
_POSTPONE = """
UPDATE deliveries SET in_flight = 0, refusals = refusals + 1, due = ? WHERE message = ? AND subscription = ?
"""
_DELETE = "DELETE FROM deliveries WHERE message = ? AND subscription = ?"
_DELETE_DELIVERED = """
DELETE FROM messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message = ?1)
"""

# Two ranges of the index, so that a long backlog is neither read nor sorted.
_DUE = """
SELECT id, refusals, data, attributes, published_at FROM (
    SELECT * FROM (SELECT message, refusals, due FROM deliveries
        WHERE subscription = ?1 AND in_flight = 0 AND due <= ?2 ORDER BY due LIMIT ?4)
    UNION ALL
    SELECT * FROM (SELECT message, refusals, due FROM deliveries
        WHERE subscription = ?1 AND in_flight = 0 AND due > ?3 ORDER BY due LIMIT ?4)
) JOIN messages ON id = message ORDER BY due LIMIT ?4
"""
_NEXT_DUE = "SELECT min(due) FROM deliveries WHERE subscription = ? AND in_flight = 0"

_FAN_OUT = """
INSERT INTO deliveries (message, subscription, due)
SELECT m.id, s.name, ? FROM messages m JOIN subscriptions s ON s.topic = m.topic
WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = m.id)
"""
_DELETE_UNDECLARED = "DELETE FROM deliveries WHERE subscription NOT IN (SELECT name FROM subscriptions)"
_DELETE_UNCLAIMED = """
DELETE FROM messages WHERE published_at < ?
AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id)
"""
