"""The broker of one machine loses nothing when it is killed or crowded, and keeps nobody waiting."""

import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared.deliveries import opened
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from tests.contracts.queues import Receiver, listening, sqlite, subscription, wait_until
from tests.world import TurnedClock

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def broker(request) -> Iterator:
    with sqlite(request) as under_test:
        yield under_test


def drain(broker) -> None:
    wait_until(lambda: broker.backlog() == 0)


def python(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT)


# --- killed and stopped -----------------------------------------------------------------------------


PUSHING = """
import sys, time
from pathlib import Path
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import Subscription
jobs = Subscription(name="jobs", topic="jobs", endpoint=sys.argv[2], max_in_flight=2)
Pusher(SqliteQueue(Path(sys.argv[1])), [jobs]).start()
time.sleep(60)
"""


@pytest.mark.system
def test_what_a_killed_pusher_had_in_flight_is_delivered_again(broker) -> None:
    for n in range(6):
        broker.queue.publish("jobs", b"%d" % n)
    broker.receiver.gate.clear()
    with python(PUSHING, broker.queue.path, broker.url) as process:
        wait_until(lambda: broker.receiver.at_once == 2)
        os.kill(process.pid, signal.SIGKILL)
    in_flight = {push.message_id for push in broker.receiver.pushes}
    broker.receiver.gate.set()  # whatever the endpoint says now, nobody hears it
    broker.subscribe(subscription())
    drain(broker)
    again = broker.receiver.pushes[2:]
    assert {push.message_id for push in again} >= in_flight
    assert {push.data for push in again} == {b"%d" % n for n in range(6)}
    assert all(push.attempt == 1 for push in again), "nobody refused: nothing is counted"


def test_stopping_does_not_wait_for_pushes_and_leaves_nothing_running(broker) -> None:
    broker.subscribe(subscription())
    broker.receiver.gate.clear()
    broker.queue.publish("jobs", b"x")
    wait_until(lambda: broker.receiver.at_once == 1)
    began = time.monotonic()
    broker.pusher.stop()
    assert time.monotonic() - began < 1
    assert [t.name for t in threading.enumerate() if t.name.startswith("push")] == []
    assert broker.backlog() == 1


# --- many hands -------------------------------------------------------------------------------------


PUBLISHING = """
import sys
from pathlib import Path
from shared.sqlite_queue import SqliteQueue
for n in range(50):
    SqliteQueue(Path(sys.argv[1])).publish("jobs", f"{sys.argv[2]}-{n}".encode())
"""


@pytest.mark.system
def test_four_processes_publish_at_once_into_a_new_file_before_anybody_subscribed(broker) -> None:
    processes = [python(PUBLISHING, broker.queue.path, name) for name in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    broker.subscribe(subscription(max_in_flight=8))
    drain(broker)
    assert {push.data for push in broker.receiver.pushes} == {
        f"{name}-{n}".encode() for name in range(4) for n in range(50)
    }


def test_publishing_without_pause_does_not_keep_the_pusher_from_its_file(broker) -> None:
    broker.subscribe(subscription())
    until = time.monotonic() + 4
    while len(broker.receiver.pushes) < 20:
        assert time.monotonic() < until, "the pusher starves"
        broker.queue.publish("jobs", b"x")
    drain(broker)


# --- an unfriendly endpoint -------------------------------------------------------------------------


def test_a_service_that_is_not_up_costs_no_attempt(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    queue, receiver = SqliteQueue(tmp_path / "queue.db"), Receiver()
    strict = subscription(max_attempts=1, dead_letter_topic="dead")
    pusher = Pusher(queue, [replace(strict, endpoint=f"http://127.0.0.1:{port}/")])
    pusher.start()
    queue.publish("jobs", b"x")
    wait_until(lambda: "push.unreached" in caplog.messages)
    time.sleep(0.2)  # ten pauses; there is no clock to turn in another thread
    with listening(receiver, port):
        wait_until(lambda: len(receiver.pushes) == 1)
        wait_until(lambda: queue.depth()[0].waiting + queue.depth()[0].in_flight == 0)
        pusher.stop()
    assert receiver.pushes[0].attempt == 1
    assert caplog.messages == ["push.unreached", "push.reached"], "said once, however often it is tried"


def test_a_push_unanswered_at_its_deadline_is_a_refusal(broker) -> None:
    broker.subscribe(subscription(ack_deadline_s=0.1))
    broker.receiver.takes_s = 0.3
    broker.queue.publish("jobs", b"x")
    wait_until(lambda: len(broker.receiver.pushes) >= 2)
    assert [push.attempt for push in broker.receiver.pushes[:2]] == [1, 2]
    broker.receiver.takes_s = 0
    drain(broker)


# --- time and room ----------------------------------------------------------------------------------


def test_a_clock_turned_back_delays_nothing(broker) -> None:
    clock = TurnedClock()
    broker.queue = SqliteQueue(broker.queue.path, clock)
    broker.subscribe(subscription())
    broker.pusher.stop()
    clock.turn(days=1)
    broker.queue.publish("jobs", b"from tomorrow")
    clock.turn(days=-1)
    broker.subscribe(subscription())
    drain(broker)


def test_the_oldest_goes_first(broker) -> None:
    broker.subscribe(subscription(max_in_flight=1))
    broker.receiver.gate.clear()
    for n in range(10):
        broker.queue.publish("jobs", b"%d" % n)
    broker.receiver.gate.set()
    drain(broker)
    assert [push.data for push in broker.receiver.pushes] == [b"%d" % n for n in range(10)]


def test_half_of_the_messages_arrive_within_50_ms(broker) -> None:
    broker.subscribe(subscription())
    hops_s = []
    for n in range(50):
        began = time.monotonic()
        broker.queue.publish("jobs", b"x")
        wait_until(lambda n=n: len(broker.receiver.arrived_s) == n + 1)
        hops_s.append(broker.receiver.arrived_s[n] - began)
    assert statistics.median(hops_s) <= 0.05


def test_the_file_is_used_again_and_not_grown(tmp_path) -> None:
    queue, jobs = SqliteQueue(tmp_path / "queue.db"), subscription()
    pages = []
    with opened(queue) as deliveries:
        deliveries.declare([jobs], ())
        for _ in range(6):
            for n in range(50):
                queue.publish("jobs", b"%d" % n)
            taken = deliveries.take(jobs, 50)
            with deliveries.settling() as settlement:
                for delivery in taken:
                    settlement.acknowledge(delivery)
            pages.append(deliveries._connection.execute("PRAGMA page_count").fetchone()[0])
    assert max(pages[1:]) <= pages[0] + 1, pages


def test_operators_see_what_waits_and_what_is_in_flight(broker) -> None:
    broker.subscribe(subscription(max_in_flight=2), subscription("events", "events"))
    broker.receiver.gate.clear()
    for n in range(5):
        broker.queue.publish("jobs", b"%d" % n)
    wait_until(lambda: broker.receiver.at_once == 2)
    events, jobs = broker.queue.depth()
    assert (events.subscription, events.waiting, events.in_flight, events.oldest_age_s) == ("events", 0, 0, 0)
    assert (jobs.subscription, jobs.waiting, jobs.in_flight) == ("jobs", 3, 2)
    assert 0 < jobs.oldest_age_s < 60
