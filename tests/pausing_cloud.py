"""A cloud to pause: the API over HTTP, and a fake of Pub/Sub whose jobs are pushed to a worker."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from shared import pubsub_topology
from shared.pausing import Held
from shared.places import Project
from shared.pubsub_topology import Pusher
from shared.topology import topology
from tests.api_world import ApiWorld
from tests.pubsub_fake import PubSubFake
from tests.pubsub_fake import serving as serving_pubsub
from tests.scripted import Answer, Request, Service
from tests.scripted import serving as serving_api

WORKER = "projects/shop-prod/subscriptions/cutout-jobs-worker"
URLS = {"api": "https://api.example", "worker": "https://worker.example"}
EMAIL = "pusher@shop-prod.iam.gserviceaccount.com"
PUSHER = Pusher(urls=URLS, email=EMAIL, audience="https://audience.example")

ATTACHED = ("https://worker.example/push", EMAIL, "https://audience.example")
DETACHED = ("", "", "")


def pushes_to(fake: PubSubFake) -> tuple[str, str, str]:
    config = fake.subscriptions[WORKER].push_config
    return config.push_endpoint, config.oidc_token.service_account_email, config.oidc_token.audience


@contextmanager
def serving_cloud_pubsub() -> Iterator[PubSubFake]:
    with serving_pubsub() as fake, pubsub_topology.opened(fake.project) as maker:
        fake.make = lambda held=Held.AS_FOUND: maker.make(topology(), PUSHER, held)
        fake.make()
        yield fake


@contextmanager
def serving_cloud_api(
    world: ApiWorld, before_call: Callable[[str], None] = lambda _: None
) -> Iterator[Service]:
    """Serve the API as if its queue were Pub/Sub."""
    app = world.client.application
    services = app.extensions["cutout"]
    settings = replace(services.settings, queue=Project("shop-prod"))
    app.extensions["cutout"] = replace(services, settings=settings)
    one_at_a_time = threading.Lock()

    def ask(request: Request) -> Answer:
        before_call(request.path)
        with one_at_a_time:
            answer = world.client.open(
                request.path,
                method=request.method,
                data=request.body,
                content_type=request.headers.get("Content-Type"),
            )
        return Answer(answer.status_code, answer.json)

    with serving_api() as service:
        for call in ("GET /v1/delivery", "POST /v1/delivery/pause", "POST /v1/delivery/resume"):
            service.on(call, ask)
        service.on("GET /v1/jobs?status=open&limit=20", ask)
        yield service
