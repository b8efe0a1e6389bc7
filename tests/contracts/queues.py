"""Queues under test: each adapter with a receiver whose answers are scripted, and a way to let time pass."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest

from shared.memory_queue import MemoryQueue
from shared.messages import Envelope, unwrap
from shared.ports import Queue
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import ACKNOWLEDGING, Subscription
from tests.world import TurnedClock

RESET = -1  #: not a status: the connection is reset after the request was read


def subscription(name: str = "jobs", topic: str = "jobs", **changes) -> Subscription:
    """A subscription whose back-off a test can wait for; its adapter knows the endpoint."""
    values = {"max_in_flight": 2, "min_backoff_s": 0.02, "max_backoff_s": 0.1, "max_attempts": 5, **changes}
    return Subscription(name=name, topic=topic, endpoint="http://filled-in-by-the-adapter/", **values)


@dataclass
class Receiver:
    """Answers each push of a message as scripted by its data, then 204; remembers every push."""

    otherwise = 204
    #: Answers in its place, if it wants to.
    behind: Callable[[Envelope], int | None] = lambda _: None

    script: dict[bytes, list[int]] = field(default_factory=dict)
    pushes: list[Envelope] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)
    answers: list[tuple[Envelope, int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    takes_s: float = 0.0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.gate = threading.Event()  # closed: no push is answered
        self.gate.set()

    def enter(self, envelope: Envelope, now_s: float) -> None:
        with self.lock:
            self.pushes.append(envelope)
            self.arrived_s.append(now_s)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)

    def leave(self, envelope: Envelope) -> int:
        behind = self.behind(envelope)
        with self.lock:
            self.at_once -= 1
            script = self.script.get(envelope.data)
            answer = behind or (script.pop(0) if script else self.otherwise)
            self.answers.append((envelope, answer))
            return answer

    def of(self, subscription: str) -> list[Envelope]:
        return [e for e in self.pushes if name_of(e) == subscription]

    def with_data(self, data: bytes) -> list[Envelope]:
        return [e for e in self.pushes if e.data == data]


def name_of(envelope: Envelope) -> str:
    """Return which subscription pushed."""
    return envelope.subscription.rsplit("/", 1)[1]


class QueueUnderTest(Protocol):
    """What the suite needs of an adapter besides the port."""

    queue: Queue
    receiver: Receiver
    #: What this adapter does otherwise than Pub/Sub, and why that is borne; such a promise is skipped.
    differs: Mapping[str, str]

    def subscribe(self, *subscriptions: Subscription) -> None:
        """Push to the receiver from now on."""

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Let time pass until something is so; fail if it never is."""

    def backlog(self) -> int:
        """How many deliveries are not acknowledged yet; 0 means nothing will ever be pushed again."""

    def linger(self) -> None:
        """Let so much time pass that whatever is not over would have come again."""


class MemoryUnderTest:
    differs: Mapping[str, str] = {}

    def __init__(self, receiver: Receiver) -> None:
        self.receiver, self.clock = receiver, TurnedClock()
        self.queue = MemoryQueue(self.clock)

    def subscribe(self, *subscriptions: Subscription) -> None:
        self.queue = MemoryQueue(self.clock, subscriptions)

    def run_until(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            taken = self.queue.due()
            for delivery in taken:
                self.receiver.enter(delivery.envelope, self.clock.monotonic())
            for delivery in taken:
                is_taken = self.receiver.leave(delivery.envelope) in ACKNOWLEDGING
                (self.queue.ack if is_taken else self.queue.refuse)(delivery)
            if not taken:
                due = self.queue.next_due()
                assert due, "nothing is left to deliver, and what was waited for has not happened"
                self.clock.time = max(self.clock.time, due)

    def backlog(self) -> int:
        return len(self.queue.deliveries)

    def linger(self) -> None:
        """The backlog is exact."""


class SqliteUnderTest:
    differs: Mapping[str, str] = {}

    def __init__(self, receiver: Receiver, folder: Path, url: str) -> None:
        self.receiver, self.url = receiver, url
        self.queue = SqliteQueue(folder / "queue.db")
        self.pusher: Pusher | None = None

    def subscribe(self, *subscriptions: Subscription) -> None:
        self.pusher = Pusher(self.queue, [replace(s, endpoint=self.url) for s in subscriptions])
        self.pusher.start()

    def run_until(self, is_done: Callable[[], bool]) -> None:
        wait_until(is_done)

    def backlog(self) -> int:
        return sum(depth.waiting + depth.in_flight for depth in self.queue.depth())

    def linger(self) -> None:
        """The backlog is exact."""


@contextmanager
def memory(_request: pytest.FixtureRequest) -> Iterator[QueueUnderTest]:
    yield MemoryUnderTest(Receiver())


@contextmanager
def sqlite(request: pytest.FixtureRequest) -> Iterator[SqliteUnderTest]:
    receiver = Receiver()
    with listening(receiver) as url:
        under_test = SqliteUnderTest(receiver, request.getfixturevalue("tmp_path"), url)
        try:
            yield under_test
        finally:
            receiver.gate.set()
            if under_test.pusher:
                under_test.pusher.stop()


def wait_until(is_done: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for another thread or process."""
    until = time.monotonic() + within_s
    while not is_done():
        assert time.monotonic() < until, f"not so within {within_s} s"
        time.sleep(0.002)


@contextmanager
def listening(receiver: Receiver, port: int = 0) -> Iterator[str]:
    """Serve a receiver over HTTP on this machine; give its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            envelope = unwrap(body)
            assert json.loads(body)["message"]["publishTime"].endswith("Z")
            receiver.enter(envelope, time.monotonic())
            receiver.gate.wait(30)
            time.sleep(receiver.takes_s)
            self.answer(receiver.leave(envelope))

        def answer(self, status: int) -> None:
            if status == RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            self.send_response(status)
            if status == 302:
                self.send_header("Location", self.path)  # following it would find a 204
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a pusher that is killed or stopped leaves broken connections behind

    with Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/push?of=a+test"
        finally:
            server.shutdown()
            thread.join()
