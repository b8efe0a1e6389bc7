"""The queue in memory, with a clock turned by hand: it keeps what was published and pushes when told to.

It keeps the rules of a push subscription exactly, so that what is proved on it holds for the others.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from shared.messages import Envelope
from shared.ports import Clock
from shared.subscriptions import ACKNOWLEDGING, JITTER, Jitter, Subscription, rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A message as it was handed over."""

    topic: str
    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    published_at: datetime


@dataclass(slots=True, kw_only=True, eq=False)
class Delivery:
    """A message on its way to one subscription, until it is acknowledged."""

    message: Published
    subscription: Subscription
    due: datetime
    refusals: int = 0
    is_in_flight: bool = False

    @property
    def envelope(self) -> Envelope:
        """The delivery as it is pushed now."""
        return Envelope(
            message_id=self.message.message_id,
            data=self.message.data,
            attributes=self.message.attributes,
            attempt=self.refusals + 1,
            subscription=self.subscription.path,
        )


@dataclass
class MemoryQueue:
    """Keeps messages in lists; any number of threads may publish, one hand delivers."""

    clock: Clock
    subscriptions: Iterable[Subscription] = ()
    jitter: Jitter = JITTER
    published: list[Published] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subscriptions = tuple(self.subscriptions)
        self._lock = Lock()

    def publish(
        self,
        topic: str,
        data: bytes,
        attributes: Mapping[str, str] | None = None,
        *,
        within: timedelta | None = None,  # noqa: ARG002 - memory takes no time
    ) -> str:
        """Keep a message and return its id."""
        message = Published(
            topic=topic,
            data=data,
            attributes=dict(attributes or {}),
            message_id=uuid.uuid4().hex,
            published_at=self.clock(),
        )
        with self._lock:
            self.published.append(message)
            self.deliveries += [
                Delivery(message=message, subscription=s, due=message.published_at)
                for s in self.subscriptions
                if s.topic == topic
            ]
        return message.message_id

    def untried(self, topic: str) -> list[bytes]:
        """Return what waits and has never been delivered."""
        with self._lock:
            waiting = [d for d in self.deliveries if not d.is_in_flight and d.refusals == 0]
            return [d.message.data for d in waiting if d.message.topic == topic]

    def ping(self) -> None:
        """Return; memory is always there."""

    def due(self, subscription: str | None = None) -> list[Delivery]:
        """Take the deliveries that are due, oldest first; each must be acknowledged or refused."""
        taken: list[Delivery] = []
        with self._lock:
            for delivery in sorted(self.deliveries, key=lambda d: d.due):
                target = delivery.subscription
                if subscription in (None, target.name) and self._may_take(delivery):
                    delivery.is_in_flight = True
                    taken.append(delivery)
        return taken

    def ack(self, delivery: Delivery) -> None:
        """Forget a delivery: it never comes back."""
        with self._lock:
            self.deliveries.remove(delivery)

    def refuse(self, delivery: Delivery) -> None:
        """Bring a delivery back later, or give its message to the dead letters."""
        target, message = delivery.subscription, delivery.message
        delivery.refusals += 1
        if target.dead_letter_topic and target.is_exhausted(delivery.refusals):
            attributes = target.dead_letter_attributes(
                message.attributes, delivery.refusals, rfc3339(message.published_at)
            )
            self.publish(target.dead_letter_topic, message.data, attributes)
            self.ack(delivery)
            return
        wait_s = target.backoff_s(delivery.refusals, self.jitter())
        delivery.due = self.clock() + timedelta(seconds=wait_s)
        delivery.is_in_flight = False

    def deliver(self, handler: Callable[[Envelope], int]) -> int:
        """Push what is due once, to a handler that answers with a status; return how many were pushed."""
        taken = self.due()
        for delivery in taken:
            answer = self.ack if handler(delivery.envelope) in ACKNOWLEDGING else self.refuse
            answer(delivery)
        return len(taken)

    def next_due(self) -> datetime | None:
        """Return when the next delivery is due, or ``None``."""
        return min((d.due for d in self.deliveries if not d.is_in_flight), default=None)

    def _may_take(self, delivery: Delivery) -> bool:
        in_flight = sum(
            d.is_in_flight for d in self.deliveries if d.subscription.name == delivery.subscription.name
        )
        return (
            not delivery.is_in_flight
            and delivery.due <= self.clock()
            and in_flight < delivery.subscription.max_in_flight
        )
