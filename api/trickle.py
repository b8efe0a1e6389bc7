"""Clients that trickle: a body that comes a byte at a time would hold a thread for hours.

Whoever sends too slowly is cut off: after a while in any case, and soon where bodies hold half the threads;
for some seconds after that, bodies get no more than half, and the others are asked to come back.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, g, request

from api.gunicorn_conf import threads
from api.wire import stop_reading
from shared.errors import TransientError

log = logging.getLogger(__name__)

#: The least that is taken for sending, as far as is known: who sends 2,048 is never cut off. A phone at the
#: edge of its net does ten times as much.
LEAST_BYTES_PER_S = 1_000
#: From when on a client is judged: at leisure, and where bodies hold more threads than they may.
PATIENT_S, PRESSED_S = 20.0, 1.0
#: How long the crowd is remembered that somebody was cut off from.
REMEMBERED_S = 5.0
#: A body that is not taken is read for so long: who sends quickly gets its answer.
_DRAIN_S = 0.25
_AT_LEISURE = threads // 2
_LOOK_S = 0.25
#: The first piece that is read; later ones are as large as all before, so that half at least of what has come
#: is known.  Not smaller ones: gunicorn copies all that it has read ahead, up to 1 MiB, at each call.
_PIECE_BYTES = 1024


class CrowdedError(TransientError):
    """Clients that trickle hold as many threads as they may."""


@dataclass(eq=False)
class Body:
    """A body on its way, which counts what has come; everything else is the stream's."""

    stream: Any
    socket: Any
    began: float
    came_bytes: int = 0

    def read(self, size: int) -> bytes:
        """Read, and count what has come."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self.stream.read(self._next_bytes(size))):
            pieces.append(piece)
            self.came_bytes += len(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _next_bytes(self, size: int) -> int:
        return min(size, max(_PIECE_BYTES, self.came_bytes))

    def is_slow(self, now: float, *, after_s: float) -> bool:
        """Whether it has been coming for so long, and too slowly."""
        lasted_s = now - self.began
        return lasted_s >= after_s and self.came_bytes < lasted_s * LEAST_BYTES_PER_S

    def cut_off(self) -> None:
        """End it: who reads it finds that it is over, and answers."""
        stop_reading(self.socket)


@dataclass
class Bodies:
    """Every body that is on its way to this process."""

    monotonic: Callable[[], float] = time.monotonic
    _coming: set[Body] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_watched: bool = False
    _crowded_until: float = 0.0

    def begin(self, stream: Any, socket: Any) -> Body:
        """Take a body in.

        Raises
        ------
        CrowdedError
            If bodies hold as many threads as they may, and some were cut off lately.
        """
        body = Body(stream, socket, self.monotonic())
        with self._lock:
            if len(self._coming) >= _AT_LEISURE and body.began < self._crowded_until:
                raise CrowdedError("Too many uploads are coming slowly; try again in a second.")
            self._coming.add(body)
            is_first, self._is_watched = not self._is_watched, True
        if is_first:  # not before: a thread does not survive the fork
            threading.Thread(target=self._watch, name="trickle", daemon=True).start()
        return body

    def end(self, body: Body) -> None:
        """Forget a body that has come."""
        with self._lock:
            self._coming.discard(body)

    def look(self) -> int:
        """Cut off who is too slow; return how many."""
        now = self.monotonic()
        with self._lock:
            is_pressed = len(self._coming) >= _AT_LEISURE
            after_s = PRESSED_S if is_pressed else PATIENT_S
            slow = {body for body in self._coming if body.is_slow(now, after_s=after_s)}
            self._coming -= slow
            if slow and is_pressed:
                self._crowded_until = now + REMEMBERED_S
        for body in slow:
            body.cut_off()
        if slow:
            log.info("request.too_slow", extra={"cut_off": len(slow), "after_s": after_s})
        return len(slow)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self.look()


def install(app: Flask) -> None:
    """Watch every body that comes over a socket."""
    bodies = Bodies()

    def begin() -> None:
        socket = request.environ.get("gunicorn.socket")
        if socket is not None and (request.content_length or "Transfer-Encoding" in request.headers):
            g.drain_s = _DRAIN_S  # in case that it is not taken
            g.body = bodies.begin(request.environ["wsgi.input"], socket)
            request.environ["wsgi.input"] = g.body
            del g.drain_s

    def end(_error: BaseException | None = None) -> None:
        if body := g.pop("body", None):
            bodies.end(body)

    app.before_request(begin)
    app.teardown_request(end)
