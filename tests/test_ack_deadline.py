"""A handler that is slower than the queue's deadline is pushed again beside itself, and does its job once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from werkzeug.serving import make_server

from shared import pubsub
from shared.messages import JOBS
from shared.pace import ONE_MACHINE
from shared.places import Project
from shared.side_by_side import in_thread
from tests.test_up import wait_for
from tests.world import JOB, TurnedClock, World
from worker.app import Lifecycle, create_app

pytestmark = [pytest.mark.system, pytest.mark.emulator]

DEADLINE_S = 10  #: the emulator's least
TAKES_S = 13.0


class HostClock(TurnedClock):
    """The host's time; to turn it takes as long as it says."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def turn(self, **span: float) -> None:
        time.sleep(span["seconds"])


@dataclass
class Pushed:
    """A worker, and when each push came, how it was answered and when."""

    app: Any
    answers: list[tuple[float, str, float]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        came = time.monotonic()

        def start(status: str, *rest: Any) -> Any:
            self.answers.append((came, status[:3], time.monotonic()))
            return start_response(status, *rest)

        return self.app(environ, start)

    def came_with(self, status: str) -> list[float]:
        return [came for came, answered, _ in self.answers if answered == status]


@pytest.fixture
def world(tmp_path: Path, emulator: str) -> World:
    world = World(tmp_path, clock=HostClock(), pace=ONE_MACHINE)
    world.queue = pubsub.connect(Project("ack-deadline", emulator))
    world.model.during = lambda: time.sleep(TAKES_S)
    return world


def test_a_slow_handler_is_pushed_again_and_its_job_is_done_once(world: World, emulator: str) -> None:
    """Fault D4: Pub/Sub's deadline is over while the worker is at work, and its answer comes too late."""
    services = world.services(start_pulse=lambda pulse: pulse.start(), beside=in_thread)
    worker = Pushed(create_app(Lifecycle(services=services, stopping=threading.Event())))
    with listening(worker) as url, subscribed(Project("ack-deadline", emulator), url):
        world.accept()
        wait_for(lambda: len(worker.came_with("204")) >= 2, within_s=60)
        time.sleep(3)  # whatever else the queue may still have to say
    first, *others = sorted(worker.answers)
    assert first[1] == "204"
    assert first[2] - first[0] > TAKES_S
    assert DEADLINE_S - 1 < others[0][0] - first[0] < TAKES_S, "it came again while the first was at work"
    for came, status, answered in others:
        assert answered - came < 1
        assert status == ("503" if came < first[2] else "204")
    assert [status for _, status, _ in others].count("204") == 1, "and never after that"
    assert world.model.calls == 1
    assert list(world.job().worked.claims) == [1]
    world.assert_succeeded(JOB)


@contextmanager
def listening(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/push"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def subscribed(project: Project, url: str) -> Iterator[None]:
    """Push a project's jobs to an address, with the shortest deadline that there is."""
    path = pubsub.topic_path(project, JOBS)
    pubsub.connect(project)._client.create_topic(request={"name": path})
    with pubsub.open_channel(project) as channel:
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        name = client.subscription_path(project.id, "slow")
        wanted = {"name": name, "topic": path, "push_config": {"push_endpoint": url}}
        client.create_subscription(request=wanted | {"ack_deadline_seconds": DEADLINE_S})
        try:
            yield
        finally:
            client.delete_subscription(subscription=name)
