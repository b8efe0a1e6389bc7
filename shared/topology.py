"""Topics and subscriptions, described once in topology.json: for the embedded broker, Pub/Sub and Terraform.

Subscriptions never expire.  The one of the dead letters stands first: a dead letter that nobody has
subscribed to is lost.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from shared.subscriptions import Subscription

FILE = Path(__file__).with_name("topology.json")

Seconds = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way of a topic's messages to a service."""

    name: str  #: of the subscription
    topic: str
    service: str  #: api or worker
    path: str
    ack_deadline_s: int
    retention: timedelta  #: of what nobody acknowledges
    dead_letter_topic: str | None
    max_attempts: int | None  #: until a message is a dead letter

    def on_this_machine(self, url: str, *, max_in_flight: int, backoff_s: Seconds) -> Subscription:
        """Return the subscription that the embedded broker serves."""
        return Subscription(
            name=self.name,
            topic=self.topic,
            endpoint=f"{url}{self.path}",
            max_in_flight=max_in_flight,
            ack_deadline_s=self.ack_deadline_s,
            min_backoff_s=backoff_s[0],
            max_backoff_s=backoff_s[1],
            max_attempts=self.max_attempts or 1,
            dead_letter_topic=self.dead_letter_topic,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Every topic and every route."""

    topics: tuple[str, ...]
    routes: tuple[Route, ...]
    backoff_in_the_cloud_s: Seconds  #: the least and the greatest
    backoff_on_one_machine_s: Seconds


@cache
def topology() -> Topology:
    """Read the description."""
    document = json.loads(FILE.read_text())
    return Topology(
        topics=tuple(document["topics"]),
        routes=tuple(_route(found, document["ack_deadline_s"]) for found in document["subscriptions"]),
        backoff_in_the_cloud_s=tuple(document["backoff_s"]["cloud"]),
        backoff_on_one_machine_s=tuple(document["backoff_s"]["one_machine"]),
    )


def _route(found: Mapping[str, Any], ack_deadline_s: int) -> Route:
    dead_letters = found["dead_letters"] or {}
    return Route(
        name=found["name"],
        topic=found["topic"],
        service=found["service"],
        path=found["path"],
        ack_deadline_s=ack_deadline_s,
        retention=timedelta(days=found["retention_days"]),
        dead_letter_topic=dead_letters.get("topic"),
        max_attempts=dead_letters.get("max_attempts"),
    )
