"""Clients that do nothing but wait: each sends a request, reads the answer, and sends the next.

They run in a process of their own with the request's bytes made beforehand, so that what is measured is the
service; every answer's status is checked, so that a fast error is never taken for a fast answer.
"""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Protocol

_ANSWERS_WITHIN_S = 60.0


class WrongAnswerError(Exception):
    """A service answered with another status than the measurement is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request and the status that its answer must have."""

    method: str
    path: str
    expects: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A call, made over and over by a number of clients at once."""

    port: int
    call: Call
    clients: int
    calls: int  #: how often it is made, by all clients together; each keeps its connection


class Drive(Protocol):
    """Something that brings a load to bear and returns the seconds that each call took."""

    def __call__(self, load: Load) -> list[float]:
        """Make every call of a load."""
        ...


@contextmanager
def load_process() -> Iterator[Drive]:
    """Lend a process that plays the clients."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda load: pool.submit(drive, load).result()


def drive(load: Load) -> list[float]:
    """Make every call of a load in threads of this process; return the seconds that each took."""
    start, calls = threading.Barrier(load.clients), iter(range(load.calls))
    with ThreadPoolExecutor(load.clients) as clients:
        turns = [clients.submit(_one_client, load, start, calls) for _ in range(load.clients)]
        return [seconds for turn in turns for seconds in turn.result()]


def ask(port: int, call: Call) -> tuple[http.client.HTTPResponse, bytes]:
    """Make one call over a connection of its own; return the answer and its body."""
    with closing(_connection(port)) as connection:
        return _exchange(connection, call)


def _one_client(load: Load, start: threading.Barrier, calls: Iterator[int]) -> list[float]:
    with closing(_connection(load.port)) as connection:
        connection.connect()
        start.wait(_ANSWERS_WITHIN_S)
        return [_timed(connection, load.call) for _ in calls]  # a range is drawn from by many threads safely


def _timed(connection: http.client.HTTPConnection, call: Call) -> float:
    began = time.perf_counter()
    _exchange(connection, call)
    return time.perf_counter() - began


def _exchange(connection: http.client.HTTPConnection, call: Call) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(call.method, call.path, call.body, dict(call.headers))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != call.expects:
        raise WrongAnswerError(
            f"{call.method} {call.path} answered {answer.status}, expected {call.expects}: {body[:500]!r}"
        )
    return answer, body


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWERS_WITHIN_S)
