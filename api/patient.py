"""How gunicorn's worker waits for clients: a connection gets a thread once its request is worth one.

That is when the head is there, and the first bytes of a body, or all of a short one.  Until then it waits
where thousands may: however many clients send a byte a second, whoever has sent a request is served.
"""

import contextlib
import logging
import re
import socket
import time
from dataclasses import dataclass
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from api.trickle import PATIENT_S

log = logging.getLogger(__name__)

#: Of a body so much must have come: at the least rate that is taken it is there in time.
FIRST_BYTES = 16_384
_HEAD_AT_MOST_BYTES = 65_536
_LOOK_S = 0.25
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
#: The client waits for us to ask for the body.
_EXPECTS = re.compile(rb"\r\nexpect:", re.IGNORECASE)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def wanted_bytes(seen: bytes) -> int:
    """Return how much of a request must have come before it is worth a thread, given what has come."""
    head, end, _ = seen.partition(b"\r\n\r\n")
    if not end:
        return len(seen) + 1 if len(seen) < _HEAD_AT_MOST_BYTES else 0
    fields = head + b"\r\n"
    length = _LENGTH.search(fields)
    if length is None or _EXPECTS.search(fields):
        return 0
    return len(head) + len(end) + min(int(length[1]), FIRST_BYTES)


@dataclass(slots=True)
class _Wait:
    """What a connection waits for, and until when."""

    wanted: int
    until: float


class PatientWorker(ThreadWorker):
    """A worker with threads whose connections wait without one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waits: dict[Any, _Wait] = {}
        self._looked = 0.0

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection a thread, or wait until it is worth one."""
        wanted = self._missing(conn)
        if wanted:
            self._await(conn, wanted, None)
        else:
            self._serve(conn)

    def _serve(self, conn: Any) -> None:
        conn.data_ready = True
        super().enqueue_req(conn)

    def _missing(self, conn: Any, at_least: int = 0) -> int:
        """Return how many bytes must have come, or 0 if they have, or if no more will."""
        if self.cfg.is_ssl or (conn.initialized and conn.parser.unreader.buf.getvalue()):
            return 0
        try:
            conn.sock.setblocking(False)  # noqa: FBT003 - the system's own
            seen = conn.sock.recv(_HEAD_AT_MOST_BYTES + FIRST_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return 1
        except OSError:
            return 0  # the thread finds out
        if not seen or len(seen) < at_least:
            return 0  # it has ended
        wanted = wanted_bytes(seen)
        return wanted if len(seen) < wanted else 0

    def _await(self, conn: Any, wanted: int, until: float | None) -> None:
        # The system wakes us once so many bytes are there, and not at each one.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
        if until is None:
            until = time.monotonic() + (self.cfg.keepalive if wanted == 1 else PATIENT_S)
        self._waits[conn] = _Wait(wanted, until)
        self.poller.register(conn.sock, EVENT_READ, partial(self._come, conn))

    def _come(self, conn: Any, _socket: Any) -> None:
        """Look at a connection of which as much has come as was wanted, or all that ever will."""
        self.poller.unregister(conn.sock)
        wait = self._waits.pop(conn)
        if wanted := self._missing(conn, wait.wanted):
            self._await(conn, wanted, None if wait.wanted == 1 else wait.until)
            return
        with contextlib.suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._serve(conn)

    def murder_pending(self) -> None:
        """Close who has sent too little for too long; gunicorn calls this again and again."""
        super().murder_pending()
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        late = [conn for conn, wait in self._waits.items() if wait.until <= now]
        begun = sum([self._close(conn) for conn in late])
        if begun:
            log.info("request.too_slow", extra={"cut_off": begun, "after_s": PATIENT_S})

    def _close(self, conn: Any) -> bool:
        """Close a connection; say whether it had begun to send a request."""
        has_begun = self._waits.pop(conn).wanted > 1
        self.poller.unregister(conn.sock)
        with contextlib.suppress(OSError):
            if has_begun:
                conn.sock.send(_TOO_SLOW)
        self.nr_conns -= 1
        conn.close()
        return has_begun

    def _cap_keepalive(self, deadline: float) -> None:
        """Wait no longer than this for connections that have sent nothing: the worker is being stopped."""
        super()._cap_keepalive(deadline)  # type: ignore[misc]  # unknown to the stubs
        for wait in self._waits.values():
            if wait.wanted == 1:
                wait.until = min(wait.until, deadline)
