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
from google.iam.v1.iam_policy_pb2 import GetIamPolicyRequest, SetIamPolicyRequest
from google.iam.v1.options_pb2 import GetPolicyOptions
from google.iam.v1.policy_pb2 import Binding, Policy
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import DeadLetterPolicy, PushConfig, Subscription

from shared.places import Project
from shared.pubsub import DETAILS, Details, open_channel, topic_path, translated
from shared.topology import Route, Topology

#: The emulator keeps messages for a week at most.
_EMULATED_RETENTION = timedelta(days=7)
#: What each refusal means to who makes a topology.
_DETAILS: Details = {
    **DETAILS,
    exceptions.NotFound: "There is no such project, or we may not see it.",
    exceptions.Forbidden: "Pub/Sub does not let us make what is described; we need roles/pubsub.admin.",
}
_POLICY_TRIES = 5
_LATEST_POLICY = 3
_ONE_CALL: dict[str, Any] = {"retry": None, "timeout": 10.0}


class TopologyError(Exception):
    """Something is there that cannot be changed into what is described; the text says what to do."""


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
        config = PushConfig(push_endpoint=f"{url}{route.path}")
        if self.email:
            config.oidc_token = PushConfig.OidcToken(
                service_account_email=self.email, audience=self.audience or url
            )
        return config


def agent_of(project_number: int) -> str:
    """Return the service account in whose name Pub/Sub itself acts in a project."""
    return f"serviceAccount:service-{project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"


class Maker:
    """Makes a topology in one project."""

    def __init__(self, project: Project, topics: PublisherClient, subscriptions: SubscriberClient) -> None:
        self._project, self._topics, self._subscriptions = project, topics, subscriptions

    def make(self, topology: Topology, pusher: Pusher) -> list[str]:
        """Bring the project to what is described, and say what was done; nothing if it was so already.

        Raises
        ------
        TopologyError
            If something that cannot be changed is in the way.
        QueueUnavailableError
            If Pub/Sub does not answer, or does not let us; what was done stays done.
        """
        try:
            with translated(_DETAILS):
                return list(self._make(topology, pusher))
        except exceptions.BadRequest as error:
            raise TopologyError(f"Pub/Sub refuses: {error.message}") from error

    def _make(self, topology: Topology, pusher: Pusher) -> Iterator[str]:
        for topic in topology.topics:
            yield from self._topic(topic)
        for route in topology.routes:
            yield from self._route(self._wanted(route, topology, pusher))
            if route.dead_letter_topic and pusher.agent:
                yield from self._let_move(route, route.dead_letter_topic, pusher.agent)

    # --- topics and subscriptions -----------------------------------------------------------------

    def _topic(self, topic: str) -> Iterator[str]:
        path = topic_path(self._project, topic)
        try:
            self._topics.get_topic(topic=path, **_ONE_CALL)
        except exceptions.NotFound:
            with _unless_there():
                self._topics.create_topic(name=path, **_ONE_CALL)
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

    def _route(self, wanted: Subscription) -> Iterator[str]:
        name = wanted.name.rsplit("/", 1)[1]
        try:
            kept = self._subscriptions.get_subscription(subscription=wanted.name, **_ONE_CALL)
        except exceptions.NotFound:
            with _unless_there():
                self._subscriptions.create_subscription(request=wanted, **_ONE_CALL)
            yield f"created subscription {name}"
            return
        if kept.topic != wanted.topic:
            raise TopologyError(
                f"subscription {name} belongs to {kept.topic}, expected {wanted.topic}; that cannot be "
                f"changed. Delete it (gcloud pubsub subscriptions delete {name}) and run this again."
            )
        is_so, should_be = _facts(kept), _facts(wanted)
        differing = [path for path in should_be if is_so[path] != should_be[path]]
        if differing:
            wanted.push_config.attributes = kept.push_config.attributes  # the server's own
            request = {"subscription": wanted, "update_mask": {"paths": differing}}
            self._subscriptions.update_subscription(request=request, **_ONE_CALL)
        for path in differing:
            yield f"updated subscription {name}: {path} was {is_so[path]}, is {should_be[path]}"

    def _path(self, route: Route) -> str:
        return SubscriberClient.subscription_path(self._project.id, route.name)

    # --- rights -----------------------------------------------------------------------------------

    def _let_move(self, route: Route, dead_letter_topic: str, agent: str) -> Iterator[str]:
        """Let Pub/Sub move dead letters: it publishes them, and acknowledges what they were."""
        topic = topic_path(self._project, dead_letter_topic)
        if _grant(self._topics, topic, "roles/pubsub.publisher", agent):
            yield f"let {agent} publish to topic {dead_letter_topic}"
        if _grant(self._subscriptions, self._path(route), "roles/pubsub.subscriber", agent):
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


def _grant(client: PublisherClient | SubscriberClient, resource: str, role: str, member: str) -> bool:
    """Give a member a role on one resource; return whether it did not have it."""
    for _ in range(_POLICY_TRIES):
        policy = _read_policy(client, resource)
        if any(
            b.role == role and member in b.members and not b.condition.expression for b in policy.bindings
        ):
            return False
        policy.bindings.append(Binding(role=role, members=[member]))
        # The policy's etag goes along: what another hand has granted meanwhile is not taken back.
        with suppress(exceptions.Aborted):
            request = SetIamPolicyRequest(resource=resource, policy=policy)
            client.set_iam_policy(request=request, **_ONE_CALL)
            return True
    raise TopologyError(f"the rights on {resource} are being changed all the time; run this again")


def _read_policy(client: PublisherClient | SubscriberClient, resource: str) -> Policy:
    options = GetPolicyOptions(requested_policy_version=_LATEST_POLICY)
    request = GetIamPolicyRequest(resource=resource, options=options)
    return client.get_iam_policy(request=request, **_ONE_CALL)
