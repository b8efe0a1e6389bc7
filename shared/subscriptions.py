"""What a push subscription promises: who is pushed to, what acknowledges, when a message comes back.

Real Pub/Sub, the embedded broker and the memory queue keep the same rules; the last two read them here.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

#: Statuses that acknowledge a push, as in Pub/Sub; everything else refuses it, redirects included.
ACKNOWLEDGING = frozenset({102, 200, 201, 202, 204})
PROJECT = "local"

Jitter = Callable[[], float]  #: evenly distributed in [0, 1)
JITTER: Jitter = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Pushes the messages of a topic to an endpoint of this machine."""

    name: str
    topic: str
    endpoint: str  #: absolute http:// URL
    max_in_flight: int
    ack_deadline_s: float = 600.0  #: a push unanswered for this long is refused
    min_backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    max_attempts: int = 20
    dead_letter_topic: str | None = None

    def __post_init__(self) -> None:
        url = urlsplit(self.endpoint)
        if url.scheme != "http" or not url.hostname:
            raise ValueError(
                f"subscription {self.name} pushes to {self.endpoint!r}; expected http://host:port/path"
            )
        if self.max_in_flight < 1 or self.max_attempts < 1:
            raise ValueError(f"subscription {self.name} needs max_in_flight and max_attempts of 1 or more")
        if not 0 < self.min_backoff_s <= self.max_backoff_s:
            raise ValueError(f"subscription {self.name} needs 0 < min_backoff_s <= max_backoff_s")

    @property
    def path(self) -> str:
        """The subscription's full name, as it stands in a push."""
        return f"projects/{PROJECT}/subscriptions/{self.name}"

    def backoff_s(self, refusals: int, jitter: float) -> float:
        """Return how long a message waits after its n-th refusal.

        Evenly distributed in ``[max(min, b / 2), b]`` with ``b = min(max, min * 2 ** n)``: with 1 and
        30 s, the waits are 1-2, 2-4, 4-8, 8-16 and then 15-30 s, so that a crowd refused at one moment
        does not come back at one moment.
        """
        longest = min(self.max_backoff_s, self.min_backoff_s * 2.0 ** min(refusals, 64))
        shortest = max(self.min_backoff_s, longest / 2)
        return shortest + (longest - shortest) * jitter

    def is_exhausted(self, refusals: int) -> bool:
        """Whether a message refused so often goes to the dead letters; never where there are none."""
        return self.dead_letter_topic is not None and refusals >= self.max_attempts

    def dead_letter_attributes(
        self, attributes: Mapping[str, str], refusals: int, published_at: str
    ) -> dict[str, str]:
        """Return a message's attributes with what Pub/Sub adds when it gives the message up."""
        source = "CloudPubSubDeadLetterSource"
        return {
            **attributes,
            f"{source}DeliveryCount": str(refusals),
            f"{source}Subscription": self.name,
            f"{source}SubscriptionProject": PROJECT,
            f"{source}TopicPublishTime": published_at,
        }


def rfc3339(time: datetime) -> str:
    """Write a UTC time as Pub/Sub does."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
