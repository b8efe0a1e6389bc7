"""Holds jobs in Pub/Sub: their push is detached, which keeps every message, and attached again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from google.api_core import exceptions
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PushConfig

from shared.pausing import held_routes
from shared.places import Project
from shared.pubsub import DETAILS, Details, open_channel, translated
from shared.pubsub_rights import ONE_CALL
from shared.topology import Route

#: What each refusal means to who pauses.
_DETAILS: Details = {
    **DETAILS,
    exceptions.NotFound: "There is no such project or subscription; ./cutout topology makes it.",
    exceptions.Forbidden: "Pub/Sub does not let us change its subscriptions; we need roles/pubsub.editor.",
}


class Switch:
    """Detaches and attaches the pushes of one project's jobs."""

    def __init__(self, project: Project, subscriptions: SubscriberClient) -> None:
        self._project, self._subscriptions = project, subscriptions

    def pushes(self) -> dict[str, dict[str, str]]:
        """Return where the jobs' subscriptions push, by name; those that are detached are left out."""
        with translated(_DETAILS):
            found = {route.name: self._push_of(route) for route in held_routes()}
        return {name: push for name, push in found.items() if push["endpoint"]}

    def detach(self, on_record: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Let subscriptions keep what they have; return those that push otherwise than is on record.

        These are left as they are: what is not on record could not be attached again.
        """
        left = []
        with translated(_DETAILS):
            for route in held_routes():
                push = self._push_of(route)
                if not push["endpoint"]:
                    continue
                if push == on_record.get(route.name):
                    self._push_to(route, PushConfig())
                else:
                    left.append(route.name)
        return left

    def attach(self, pushes: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Let subscriptions push as they did; return those that are detached and of which nothing is known.

        What pushes already is left as it is: a topology that was made meanwhile knows better.
        """
        left = []
        with translated(_DETAILS):
            for route in held_routes():
                if self._push_of(route)["endpoint"]:
                    continue
                if route.name in pushes:
                    self._push_to(route, push_config(**pushes[route.name]))
                else:
                    left.append(route.name)
        return left

    def _push_of(self, route: Route) -> dict[str, str]:
        kept = self._subscriptions.get_subscription(subscription=self._path(route), **ONE_CALL).push_config
        token = kept.oidc_token
        return {
            "endpoint": kept.push_endpoint,
            "email": token.service_account_email,
            "audience": token.audience,
        }

    def _push_to(self, route: Route, config: PushConfig) -> None:
        self._subscriptions.modify_push_config(subscription=self._path(route), push_config=config, **ONE_CALL)

    def _path(self, route: Route) -> str:
        return SubscriberClient.subscription_path(self._project.id, route.name)


@contextmanager
def opened(project: Project) -> Iterator[Switch]:
    """Lend a project's switch."""
    with open_channel(project) as channel:
        yield Switch(project, SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)))


def push_config(endpoint: str, email: str | None, audience: str) -> PushConfig:
    """Return how a subscription pushes, with a token if there is an account for it."""
    config = PushConfig(push_endpoint=endpoint)
    if email:
        config.oidc_token = PushConfig.OidcToken(service_account_email=email, audience=audience)
    return config
