"""How long a message takes from the call that publishes it to its delivery, through the queue on the disk.

Each publisher waits for its message before it publishes the next; the pusher is a process of its own, as
in `./cutout up`.  Theirs is a bare POST of the same body to the same receiver: the hop without a queue.
"""

import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

from bench.effort import Effort
from bench.load import Drive
from bench.rows import Row
from bench.timings import in_turns, rows_of
from shared.messages import JOBS, Envelope, JobMessage, encode, unwrap, wrap
from shared.ports import Queue
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import Subscription

_ARRIVES_WITHIN_S = 30.0
#: As many as one worker slot is pushed to: slots + 1.
_IN_FLIGHT = 2

Hop = Callable[[bytes], None]  #: sends a message on its way


class Receiver(ThreadingHTTPServer):
    """Takes pushes at once, and remembers when each message arrived (monotonic seconds)."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self._arrived: dict[bytes, tuple[threading.Event, list[float]]] = {}

    @property
    def endpoint(self) -> str:
        """Where it is pushed to."""
        return f"http://127.0.0.1:{self.server_address[1]}/push"

    def timed(self, hop: Hop) -> float:
        """Send one message and wait for it; return the seconds from the call to the arrival."""
        data = encode(JobMessage(job_id=f"job_{secrets.token_hex(16)}"))
        seen, times = self._arrived[data] = threading.Event(), []
        began = time.monotonic()
        hop(data)
        if not seen.wait(_ARRIVES_WITHIN_S):
            raise TimeoutError(f"a message did not arrive within {_ARRIVES_WITHIN_S:g} s")
        return times[0] - began

    def take(self, data: bytes) -> None:
        """Note an arrival."""
        now = time.monotonic()
        seen, times = self._arrived[data]
        times.append(now)
        seen.set()


class _Taking(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Answer 204 as soon as the message is read."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.take(unwrap(body).data)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a line a push would be measured too."""


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Publish from 1 and from 16 threads, through the queue and bare in turns."""
    del drive  # the publishers live beside the receiver, whose arrivals they wait for
    data.mkdir(parents=True, exist_ok=True)
    queue = SqliteQueue(data / "queue.db")
    with receiving() as receiver, _pusher(queue.path, receiver.endpoint):
        return hop_rows("publish to delivery", queue, receiver, effort, at_most_ms=50.0)


def hop_rows(what: str, queue: Queue, receiver: Receiver, effort: Effort, at_most_ms: float) -> list[Row]:
    """Publish from 1 and from 16 threads, through a queue that pushes to the receiver, and bare in turns."""
    rows: list[Row] = []
    for clients in (1, 16):
        of_so_many = f"{what}, {clients} publisher{'s' if clients > 1 else ''}"
        each = effort.calls(effort.hops, clients) // clients
        through = _round(receiver, lambda message: _publish(queue, message), clients, each)
        straight = _round(receiver, lambda message: _post(receiver, message), clients, each)
        rows += rows_of(of_so_many, in_turns(of_so_many, effort.rounds, through, straight), at_most_ms)
    return rows


def _round(receiver: Receiver, hop: Hop, clients: int, each: int) -> Callable[[], list[float]]:
    def one_client(_: int) -> list[float]:
        return [receiver.timed(hop) for _ in range(each)]

    def measure_once() -> list[float]:
        with ThreadPoolExecutor(clients) as threads:
            return [seconds for turn in threads.map(one_client, range(clients)) for seconds in turn]

    return measure_once


def _publish(queue: Queue, message: bytes) -> None:
    queue.publish(JOBS, message)


def _post(receiver: Receiver, message: bytes) -> None:
    """Push a message by hand, over a connection of its own as the pusher does."""
    body = json.dumps(wrap(Envelope(message_id="bare", data=message), published_at="2026-01-01T00:00:00Z"))
    with closing(
        http.client.HTTPConnection("127.0.0.1", receiver.server_address[1], timeout=30)
    ) as connection:
        connection.request("POST", "/push", body.encode(), {"Content-Type": "application/json"})
        connection.getresponse().read()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Lend a receiver that answers until it is given back."""
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@contextmanager
def _pusher(path: Path, endpoint: str) -> Iterator[None]:
    spawn = get_context("spawn")
    is_started, is_over = spawn.Event(), spawn.Event()
    process = spawn.Process(target=_push, args=(path, endpoint, is_started, is_over), daemon=True)
    process.start()
    is_started.wait(_ARRIVES_WITHIN_S)
    yield
    is_over.set()
    process.join()


def _push(path: Path, endpoint: str, is_started: Event, is_over: Event) -> None:
    """Be the pusher's process."""
    subscription = Subscription(name="worker", topic=JOBS, endpoint=endpoint, max_in_flight=_IN_FLIGHT)
    pusher = Pusher(SqliteQueue(path), [subscription])
    pusher.start()
    is_started.set()
    is_over.wait()
    pusher.stop()
