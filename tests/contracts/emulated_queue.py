"""The queue of the cloud under test: the real client and Google's emulator, and where that differs."""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from shared import pubsub
from shared.messages import JOBS
from shared.places import Project
from shared.subscriptions import ACKNOWLEDGING, Subscription
from tests.contracts.queues import Receiver, listening, name_of, wait_until


class EmulatorUnderTest:
    """The real client and Google's emulator, in a project of its own.

    Nobody can be asked what is left to deliver, so it is worked out from what was published and answered.
    """

    differs: Mapping[str, str] = {
        "202 acknowledges": "the emulator takes 202 for a refusal, Pub/Sub does not; we answer 204",
        "203 refuses": "the emulator takes 203 for an acknowledgement, Pub/Sub does not; we answer neither",
        "deliveryAttempt": "the emulator's pushes do not carry it; nothing depends on it, claims are counted",
        "max_in_flight": "a few at a time; Pub/Sub adapts, and the worker keeps its own slots",
        "back-off": "the emulator waits 1 s, then 1 s longer than the greatest, whatever the least is",
    }
    #: Without a retry policy the emulator tries again after this long, and not later.
    AGAIN_AFTER_S = 1.0
    _acknowledging = ACKNOWLEDGING - {202} | {203}

    def __init__(self, receiver: Receiver, emulator: str, url: str) -> None:
        self.receiver, self.url = receiver, url
        self.project = Project(f"contract-{secrets.token_hex(4)}", emulator)
        self.queue = self
        self._pubsub = pubsub.connect(self.project)
        self._published: list[tuple[str, bytes]] = []
        self._subscriptions: dict[str, Subscription] = {}

    def publish(self, topic: str, data: bytes, attributes=None, *, within=None) -> str:
        message_id = self._pubsub.publish(topic, data, attributes, within=within)
        self._published.append((topic, data))
        return message_id

    def untried(self, topic: str) -> list[bytes]:
        return self._pubsub.untried(topic)

    def ping(self) -> None:
        self._pubsub.ping()

    def subscribe(self, *subscriptions: Subscription) -> None:
        self._subscriptions = {s.name: s for s in subscriptions}
        with pubsub.open_channel(self.project) as channel:
            topics = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            for topic in {JOBS} | {t for s in subscriptions for t in (s.topic, s.dead_letter_topic) if t}:
                topics.create_topic(name=pubsub.topic_path(self.project, topic))
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            for wanted in subscriptions:
                subscriber.create_subscription(self._described(wanted))

    def _described(self, wanted: Subscription) -> dict[str, object]:
        described = {
            "name": SubscriberClient.subscription_path(self.project.id, wanted.name),
            "topic": pubsub.topic_path(self.project, wanted.topic),
            "push_config": {"push_endpoint": self.url},
        }
        if wanted.dead_letter_topic:
            dead = pubsub.topic_path(self.project, wanted.dead_letter_topic)
            described["dead_letter_policy"] = {
                "dead_letter_topic": dead,
                "max_delivery_attempts": wanted.max_attempts,
            }
        return described

    def run_until(self, is_done: Callable[[], bool]) -> None:
        wait_until(is_done, within_s=30)

    def backlog(self) -> int:
        owed = Counter((s.name, data) for topic, data in self._published for s in self._of(topic))
        refusals: Counter[tuple[str, str]] = Counter()
        with self.receiver.lock:
            answers = list(self.receiver.answers)
        for envelope, status in answers:
            subscription = self._subscriptions[name_of(envelope)]
            refusals[subscription.name, envelope.message_id] += status not in self._acknowledging
            is_dead = subscription.is_exhausted(refusals[subscription.name, envelope.message_id])
            if is_dead:
                owed.update((s.name, envelope.data) for s in self._of(subscription.dead_letter_topic))
            if is_dead or status in self._acknowledging:
                owed[subscription.name, envelope.data] -= 1
        return sum(count for count in owed.values() if count > 0)

    def _of(self, topic: str | None) -> list[Subscription]:
        return [s for s in self._subscriptions.values() if s.topic == topic]

    def linger(self) -> None:
        time.sleep(1.3 * self.AGAIN_AFTER_S)  # there is no clock to turn in the emulator

    def close(self) -> None:
        """Let the emulator forget, so that it does not push to a port that another test may get."""
        with pubsub.open_channel(self.project) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            for name in self._subscriptions:
                path = SubscriberClient.subscription_path(self.project.id, name)
                subscriber.delete_subscription(subscription=path)


@contextmanager
def emulated(request: pytest.FixtureRequest) -> Iterator[EmulatorUnderTest]:
    emulator, receiver = request.getfixturevalue("emulator"), Receiver()
    with listening(receiver) as url:
        under_test = EmulatorUnderTest(receiver, emulator, url)
        try:
            yield under_test
        finally:
            receiver.gate.set()
            under_test.close()
