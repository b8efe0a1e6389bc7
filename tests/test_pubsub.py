"""Publishing to Pub/Sub ends within its time, leaves nothing behind, and says why if it could not be done."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from google.api_core import exceptions

from ops.emulator import free_port
from shared import pubsub
from shared.errors import QueueUnavailableError
from shared.messages import JOBS
from shared.places import Project
from shared.pubsub import PubSubQueue
from tests.api_world import ApiWorld
from tests.contracts.emulated_queue import EmulatorUnderTest, emulated
from tests.contracts.queues import subscription
from tests.pubsub_fake import Fault, PubSubFake, serving

SOON = timedelta(seconds=0.3)
#: What a call may take beyond its limit while the machine is busy with other tests.
LEEWAY_S = 1.0

Code = grpc.StatusCode


@pytest.fixture
def fake() -> Iterator[PubSubFake]:
    with serving() as fake:
        fake.add_topic(JOBS)
        yield fake


@pytest.fixture
def queue(fake: PubSubFake) -> PubSubQueue:
    return connected(fake.project)


def connected(project: Project) -> PubSubQueue:
    """A queue as in the cloud, but for where it is connected to."""
    return PubSubQueue(pubsub.connect(project)._client, Project(project.id))


def refused(queue: PubSubQueue, within: timedelta = SOON) -> str:
    """Publish in vain, within the time; return why."""
    began = time.monotonic()
    with pytest.raises(QueueUnavailableError) as caught:
        queue.publish(JOBS, b"x", within=within)
    assert time.monotonic() - began < within.total_seconds() + LEEWAY_S
    return caught.value.detail


# --- within its time ----------------------------------------------------------------------------


def test_what_is_answered_has_been_taken(queue: PubSubQueue, fake: PubSubFake) -> None:
    message_id = queue.publish(JOBS, b"x", {"a": "b"}, within=timedelta(seconds=5))
    ((topic, message),) = fake.published
    assert (message_id, topic) == ("1", pubsub.topic_path(fake.project, JOBS))
    assert (message.data, dict(message.attributes)) == (b"x", {"a": "b"})


def test_the_callers_time_is_the_calls_and_ten_seconds_if_it_says_none(queue, fake) -> None:
    queue.publish(JOBS, b"x", within=timedelta(seconds=2))
    queue.publish(JOBS, b"x")
    assert 1 < fake.left_s[0] < 2.1
    assert 9 < fake.left_s[1] < 10.2  # gRPC rounds up


def test_the_api_gives_the_queue_two_seconds_and_accepts_all_the_same(tmp_path, queue, fake) -> None:
    """Fault P1: an outage of the queue is no outage of ours."""
    world = ApiWorld(tmp_path)
    world.queue = queue
    world.client = world.api()
    world.submitted()
    assert 1 < fake.left_s[0] < 2.1
    fake.gate.clear()
    began = time.monotonic()
    job_id = world.submitted()
    assert 1.9 < time.monotonic() - began < 2 + LEEWAY_S
    fake.gate.set()
    world.clock.turn(seconds=40)
    assert world.sweep()["published"] == 1
    assert job_id.encode() in fake.published[-1][1].data


def test_a_service_that_hangs_is_given_up_in_time(queue, fake) -> None:
    fake.gate.clear()
    assert refused(queue) == "The queue does not answer."


def test_an_address_where_nobody_is_is_given_up_in_time() -> None:
    assert (
        refused(connected(Project("shop-prod", f"127.0.0.1:{free_port()}"))) == "The queue does not answer."
    )


def test_a_connection_that_nobody_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue = connected(Project("shop-prod", f"127.0.0.1:{silent.getsockname()[1]}"))
        assert refused(queue) == "The queue does not answer."
        began = time.monotonic()
        with pytest.raises(QueueUnavailableError):
            queue.ping()
        assert time.monotonic() - began < 2 + LEEWAY_S


# --- nothing left behind ------------------------------------------------------------------------


def test_what_was_given_up_neither_grows_in_the_background_nor_arrives_late(queue, fake) -> None:
    fake.gate.clear()
    refused(queue)
    threads, calls = threading.active_count(), live_calls()
    for _ in range(40):
        with pytest.raises(QueueUnavailableError):
            queue.publish(JOBS, b"x" * 100_000, within=timedelta(milliseconds=10))
    assert threading.active_count() <= threads + 40, "only the fake's own threads"
    assert live_calls() <= calls
    asked = fake.calls["Publish"]
    fake.gate.set()
    queue.publish(JOBS, b"last", within=timedelta(seconds=5))
    assert fake.calls["Publish"] == asked + 1, "nobody goes on trying for a caller who has left"
    assert [message.data for _, message in fake.published] == [b"last"]


def live_calls() -> int:
    """How many calls the client still remembers."""
    gc.collect()
    return sum(type(thing).__module__ == "grpc._channel" for thing in gc.get_objects())


def test_a_service_that_comes_back_is_used_again_at_once() -> None:
    """gRPC's own pause between two connections would grow to two minutes."""
    port = free_port()
    queue = connected(Project("shop-prod", f"127.0.0.1:{port}"))
    until = time.monotonic() + 6
    while time.monotonic() < until:
        refused(queue, timedelta(seconds=0.5))
    with serving(port=port) as fake:
        fake.add_topic(JOBS)
        queue.publish(JOBS, b"x", within=timedelta(seconds=2.5))


# --- why ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [Code.UNAVAILABLE, Code.ABORTED, Code.CANCELLED, Code.INTERNAL, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED],
)
def test_what_passes_is_tried_again_within_the_time(queue, fake, code) -> None:
    fake.faults["Publish"] = Fault(code, times=2)
    assert queue.publish(JOBS, b"x", within=timedelta(seconds=5)) == "1"
    assert fake.calls["Publish"] == 3


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (Code.UNAVAILABLE, "does not answer"),
        (Code.DEADLINE_EXCEEDED, "does not answer"),
        (Code.INTERNAL, "does not answer"),
        (Code.ABORTED, "does not answer"),
        (Code.CANCELLED, "does not answer"),
        (Code.UNIMPLEMENTED, "does not answer"),
        (Code.DATA_LOSS, "does not answer"),
        (Code.RESOURCE_EXHAUSTED, "quota"),
        (Code.NOT_FOUND, "no such topic; ./cutout topology makes it"),
        (Code.PERMISSION_DENIED, "roles/pubsub.publisher"),
        (Code.UNAUTHENTICATED, "account"),
    ],
)
def test_whatever_passes_or_can_be_mended_is_an_unavailable_queue_that_says_why(
    queue, fake, code, said
) -> None:
    fake.faults["Publish"] = Fault(code, times=1000)
    assert said in refused(queue)
    assert fake.calls["Publish"] < 50, "it is asked with pauses"


def test_our_own_mistakes_are_not_taken_for_an_outage(queue, fake) -> None:
    fake.faults["Publish"] = Fault(Code.INVALID_ARGUMENT)
    with pytest.raises(exceptions.InvalidArgument):
        queue.publish(JOBS, b"")


def test_a_ping_says_whether_we_may_publish(queue, fake) -> None:
    queue.ping()
    fake.rights = frozenset()
    with pytest.raises(QueueUnavailableError, match=r"roles/pubsub\.publisher"):
        queue.ping()
    fake.faults["TestIamPermissions"] = Fault(Code.UNAVAILABLE)
    with pytest.raises(QueueUnavailableError, match="does not answer"):
        queue.ping()
    assert fake.calls["TestIamPermissions"] == 3


# --- the real emulator --------------------------------------------------------------------------


@pytest.fixture
def real(request) -> Iterator[EmulatorUnderTest]:
    with emulated(request) as under_test:
        yield under_test


@pytest.mark.emulator
def test_threads_share_one_client(real: EmulatorUnderTest) -> None:
    real.subscribe(subscription())
    with ThreadPoolExecutor(32) as threads:
        ids = set(threads.map(lambda n: real.publish("jobs", b"%d" % n), range(200)))
    assert len(ids) == 200
    real.run_until(lambda: real.backlog() == 0)
    assert {push.message_id for push in real.receiver.pushes} == ids


@pytest.mark.emulator
def test_a_message_of_attributes_alone_is_pushed_and_read(real: EmulatorUnderTest) -> None:
    real.subscribe(subscription())
    real.publish("jobs", b"", {"only": "attributes"})
    real.run_until(lambda: real.backlog() == 0)
    (push,) = real.receiver.pushes
    assert (push.data, dict(push.attributes)) == (b"", {"only": "attributes"})


@pytest.mark.emulator
def test_without_topics_the_queue_is_unavailable_and_says_what_makes_them(emulator: str) -> None:
    queue = pubsub.connect(Project("empty-project", emulator))
    assert "./cutout topology" in refused(queue)
    with pytest.raises(QueueUnavailableError, match="no such topic"):
        queue.ping()


@pytest.mark.emulator
def test_the_emulator_differs_as_the_contract_says(real: EmulatorUnderTest) -> None:
    """So that a newer emulator's better manners are noticed."""
    real.subscribe(subscription())
    real.receiver.script = {b"202": [202], b"203": [203]}
    for data in (b"202", b"203"):
        real.publish("jobs", data)
    real.run_until(lambda: real.backlog() == 0)
    real.linger()
    assert sorted(push.data for push in real.receiver.pushes) == [b"202", b"202", b"203"]
    assert {push.attempt for push in real.receiver.pushes} == {None}
