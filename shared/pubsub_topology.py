"""Makes topics and subscriptions in a project's Pub/Sub: what is missing is created, what differs is updated.

It may be run again at any time, by any number of hands.  What it does not describe is left alone: other
topics, other subscriptions, other rights.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import DeadLetterPolicy, PushConfig, Subscription

from shared.pausing import Held, held_routes
from shared.places import Project
from shared.pubsub import DETAILS, Details, open_channel, topic_path, translated
from shared.pubsub_pausing import push_config
from shared.pubsub_rights import ONE_CALL, TopologyError, grant
from shared.topology import Route, Topology

#: The emulator keeps messages for a week at most.
_EMULATED_RETENTION = timedelta(days=7)
#: What each refusal means to who makes a topology.
_DETAILS: Details = {
    **DETAILS,
    exceptions.NotFound: "There is no such project, or we may not see it.",
    exceptions.Forbidden: "Pub/Sub does not let us make what is described; we need roles/pubsub.admin.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pusher:
    """Where pushes go, and in whose name."""

    urls: Mapping[str, str]  #: of each service, by name
    email: str | None = None  #: service account whose tokens pushes carry; an emulator sends none
    audience: str | None = None  #: of the tokens; else the service's own URL
    agent: str | None = None  #: Pub/Sub's own service account in the project, which moves dead letters

    def config(self, route: Route) -> PushConfig:
        """Return how a route is pushed."""
        url = self.urls[route.service]
        return push_config(f"{url}{route.path}", self.email, self.audience or url)


def agent_of(project_number: int) -> str:
    """Return the service account in whose name Pub/Sub itself acts in a project."""
    return f"serviceAccount:service-{project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"


class Maker:
    """Makes a topology in one project."""

    def __init__(self, project: Project, topics: PublisherClient, subscriptions: SubscriberClient) -> None:
        self._project, self._topics, self._subscriptions = project, topics, subscriptions

    def make(self, topology: Topology, pusher: Pusher, held: Held = Held.AS_FOUND) -> list[str]:
        """Bring the project to what is described, and say what was done; nothing if it was so already.

        A push that is detached is a pause, and stays one unless told otherwise.

        Raises
        ------
        TopologyError
            If something that cannot be changed is in the way.
        QueueUnavailableError
            If Pub/Sub does not answer, or does not let us; what was done stays done.
        """
        try:
            with translated(_DETAILS):
                return list(self._make(topology, pusher, held))
        except exceptions.BadRequest as error:
            raise TopologyError(f"Pub/Sub refuses: {error.message}") from error

    def _make(self, topology: Topology, pusher: Pusher, held: Held) -> Iterator[str]:
        for topic in topology.topics:
            yield from self._topic(topic)
        for route in topology.routes:
            wanted = self._wanted(route, topology, pusher)
            if held is Held.ALL and route in held_routes():
                wanted.push_config = PushConfig()
            yield from self._route(wanted, held)
            if route.dead_letter_topic and pusher.agent:
                yield from self._let_move(route, route.dead_letter_topic, pusher.agent)

    # --- topics and subscriptions -----------------------------------------------------------------

    def _topic(self, topic: str) -> Iterator[str]:
        path = topic_path(self._project, topic)
        try:
            self._topics.get_topic(topic=path, **ONE_CALL)
        except exceptions.NotFound:
            with _unless_there():
                self._topics.create_topic(name=path, **ONE_CALL)
            yield f"created topic {topic}"

    def _wanted(self, route: Route, topology: Topology, pusher: Pusher) -> Subscription:
        is_emulated = self._project.emulator is not None
        least_s, greatest_s = (
            topology.backoff_on_one_machine_s if is_emulated else topology.backoff_in_the_cloud_s
        )
        wanted = Subscription(
            name=self._path(route),
            topic=topic_path(self._project, route.topic),
            push_config=pusher.config(route),
            ack_deadline_seconds=route.ack_deadline_s,
            retry_policy={
                "minimum_backoff": timedelta(seconds=least_s),
                "maximum_backoff": timedelta(seconds=greatest_s),
            },
            expiration_policy={},  # without a time to live: never
            message_retention_duration=min(route.retention, _EMULATED_RETENTION)
            if is_emulated
            else route.retention,
        )
        if route.dead_letter_topic:
            wanted.dead_letter_policy = DeadLetterPolicy(
                dead_letter_topic=topic_path(self._project, route.dead_letter_topic),
                max_delivery_attempts=route.max_attempts,
            )
        return wanted

    def _route(self, wanted: Subscription, held: Held) -> Iterator[str]:
        name = wanted.name.rsplit("/", 1)[1]
        try:
            kept = self._subscriptions.get_subscription(subscription=wanted.name, **ONE_CALL)
        except exceptions.NotFound:
            with _unless_there():
                self._subscriptions.create_subscription(request=wanted, **ONE_CALL)
            yield f"created subscription {name}"
            return
        if kept.topic != wanted.topic:
            raise TopologyError(
                f"subscription {name} belongs to {kept.topic}, expected {wanted.topic}; that cannot be "
                f"changed. Delete it (gcloud pubsub subscriptions delete {name}) and run this again."
            )
        if held is Held.AS_FOUND and not kept.push_config.push_endpoint:
            wanted.push_config = kept.push_config
            yield f"left subscription {name} paused, its push is detached: ./cutout resume attaches it"
        is_so, should_be = _facts(kept), _facts(wanted)
        differing = [path for path in should_be if is_so[path] != should_be[path]]
        if differing:
            wanted.push_config.attributes = kept.push_config.attributes  # the server's own
            request = {"subscription": wanted, "update_mask": {"paths": differing}}
            self._subscriptions.update_subscription(request=request, **ONE_CALL)
        for path in differing:
            yield f"updated subscription {name}: {path} was {is_so[path]}, is {should_be[path]}"

    def _path(self, route: Route) -> str:
        return SubscriberClient.subscription_path(self._project.id, route.name)

    # --- rights -----------------------------------------------------------------------------------

    def _let_move(self, route: Route, dead_letter_topic: str, agent: str) -> Iterator[str]:
        """Let Pub/Sub move dead letters: it publishes them, and acknowledges what they were."""
        topic = topic_path(self._project, dead_letter_topic)
        if grant(self._topics, topic, "roles/pubsub.publisher", agent):
            yield f"let {agent} publish to topic {dead_letter_topic}"
        if grant(self._subscriptions, self._path(route), "roles/pubsub.subscriber", agent):
            yield f"let {agent} acknowledge in subscription {route.name}"


@contextmanager
def opened(project: Project) -> Iterator[Maker]:
    """Lend a maker of topologies in a project."""
    with open_channel(project) as channel:
        yield Maker(
            project,
            PublisherClient(transport=PublisherGrpcTransport(channel=channel)),
            SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)),
        )


def _facts(subscription: Subscription) -> dict[str, Any]:
    """Return what is described of a subscription, by the path that updates it."""
    push, retry, dead = (
        subscription.push_config,
        subscription.retry_policy,
        subscription.dead_letter_policy,
    )
    return {
        "push_config": (push.push_endpoint, push.oidc_token.service_account_email, push.oidc_token.audience),
        "ack_deadline_seconds": subscription.ack_deadline_seconds,
        "retry_policy": (_seconds(retry.minimum_backoff), _seconds(retry.maximum_backoff)),
        "dead_letter_policy": (dead.dead_letter_topic, dead.max_delivery_attempts),
        "expiration_policy": _lifetime(subscription),
        "message_retention_duration": _seconds(subscription.message_retention_duration),
    }


def _seconds(span: timedelta | None) -> float:
    return span.total_seconds() if span else 0.0


def _lifetime(subscription: Subscription) -> str:
    """Return for how long a subscription that nobody uses lives; one without a policy, for a month."""
    if "expiration_policy" not in subscription:
        return "31 days"
    span_s = _seconds(subscription.expiration_policy.ttl)
    return f"{span_s:g} s" if span_s else "for ever"


@contextmanager
def _unless_there() -> Iterator[None]:
    """Take it for done if another hand has just created the same."""
    with suppress(exceptions.AlreadyExists):
        yield
