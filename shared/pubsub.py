"""The queue in the cloud: Pub/Sub, through Google's client.

One unary call publishes one message, and its deadline is the caller's.  The client's batching publisher is
not used: it answers with a future, tries for ten minutes, and goes on in a thread of its own after its
caller has given up.  A service builds its client after gunicorn has forked, since gRPC's threads do not
survive a fork.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError
from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest
from google.pubsub_v1 import PublisherClient, PublishRequest
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from tenacity import Retrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from shared.errors import QueueUnavailableError
from shared.messages import JOBS
from shared.places import Project

#: How long a message is handed over at most when the caller sets no limit.
TAKEN_WITHIN = timedelta(seconds=10)
_ANSWERS_WITHIN_S = 2.0

_HOST = "pubsub.googleapis.com:443"
#: Publishing is asked for by name: it is the one right that the services have.
_PUBLISH = "pubsub.topics.publish"

#: gRPC's own pause between connections grows to two minutes; an outage would outlast itself.
_CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
)

_AWAY = "The queue does not answer."
Details = Mapping[type[exceptions.GoogleAPICallError], str]

#: What each refusal means to who publishes.
DETAILS: Details = {
    exceptions.NotFound: "The queue has no such topic; ./cutout topology makes it.",
    exceptions.Forbidden: "The queue does not let us publish; its topic needs us as roles/pubsub.publisher.",
    exceptions.Unauthorized: "The queue does not know who we are; check the service's account.",
    exceptions.TooManyRequests: "The queue takes no more from this project for now; check its quota.",
    exceptions.Conflict: _AWAY,  # Aborted is one
    exceptions.Cancelled: _AWAY,
    exceptions.ServerError: _AWAY,  # Unavailable, DeadlineExceeded, Internal, Unknown
}
#: Trying again at once may help.  A deadline is not among them: it is the caller's, and is over.
_PASSING = (
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.InternalServerError,
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
    exceptions.Unknown,
)


class PubSubQueue:
    """Publishes to the topics of one project; threads may share it, processes may not."""

    def __init__(
        self, client: PublisherClient, project: Project, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._project, self._monotonic = client, project, monotonic

    def publish(
        self,
        topic: str,
        data: bytes,
        attributes: Mapping[str, str] | None = None,
        *,
        within: timedelta | None = None,
    ) -> str:
        """Hand over a message and return its id; there is nothing left of it here afterwards.

        Raises
        ------
        QueueUnavailableError
            If it was not taken within the given time; it may be delivered all the same.
        """
        within_s = (TAKEN_WITHIN if within is None else within).total_seconds()
        message = {"data": data, "attributes": dict(attributes or {})}
        request = PublishRequest(topic=topic_path(self._project, topic), messages=[message])
        until = self._monotonic() + within_s
        with translated():
            answer = _policy(within_s)(self._publish, request, until)
        message_id: str = answer.message_ids[0]
        return message_id

    def _publish(self, request: PublishRequest, until: float) -> Any:
        left_s = max(0.001, until - self._monotonic())
        return self._client.publish(request=request, retry=None, timeout=left_s)

    def untried(self, topic: str) -> list[bytes]:  # noqa: ARG002 - of none
        """Return nothing: Pub/Sub does not tell."""
        return []

    def ping(self) -> None:
        """Return if we may publish jobs; asking that needs no right of its own."""
        path = topic_path(self._project, JOBS)
        with translated():
            if self._project.emulator:  # has no rights to ask for
                self._client.get_topic(topic=path, retry=None, timeout=_ANSWERS_WITHIN_S)
                return
            asked = TestIamPermissionsRequest(resource=path, permissions=[_PUBLISH])
            answer = self._client.test_iam_permissions(request=asked, retry=None, timeout=_ANSWERS_WITHIN_S)
        if _PUBLISH not in answer.permissions:
            raise QueueUnavailableError(
                f"The queue has no topic {path}, or does not let us publish to it as roles/pubsub.publisher."
            )


def connect(project: Project) -> PubSubQueue:
    """Return a project's queue, over a connection of its own."""
    transport = PublisherGrpcTransport(channel=open_channel(project))
    return PubSubQueue(PublisherClient(transport=transport), project)


def open_channel(project: Project) -> grpc.Channel:
    """Return a connection to a project's Pub/Sub; credentials come from where we run.

    Raises
    ------
    QueueUnavailableError
        If there are none.
    """
    if project.emulator:
        return grpc.insecure_channel(project.emulator, options=_CHANNEL)
    try:
        return PublisherGrpcTransport.create_channel(_HOST, options=_CHANNEL)
    except DefaultCredentialsError as error:
        raise QueueUnavailableError(f"There are no credentials for Google Cloud here. {error}") from error


def topic_path(project: Project, topic: str) -> str:
    """Return a topic's full name."""
    return PublisherClient.topic_path(project.id, topic)


@contextmanager
def translated(details: Details = DETAILS) -> Iterator[None]:
    """Turn what Pub/Sub refuses for reasons that pass into ``QueueUnavailableError``."""
    try:
        yield
    except exceptions.GoogleAPICallError as error:
        detail = next((text for kind, text in details.items() if isinstance(error, kind)), None)
        if detail is None:
            raise  # we have asked for something impossible: asking again would not help
        raise QueueUnavailableError(detail) from error


def _policy(within_s: float) -> Retrying:
    """Return the one way in which Pub/Sub is asked again, at most until the caller's time is over."""
    return Retrying(
        retry=retry_if_exception_type(_PASSING),
        wait=wait_random_exponential(multiplier=0.1, max=1.0),
        stop=stop_before_delay(within_s),
        reraise=True,
    )
