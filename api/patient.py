"""How gunicorn's worker waits for clients: a connection gets a thread once its request is worth one.

That is when the head is there, and the first bytes of a body, or all of a short one.  Until then it waits
where thousands may: however many clients send a byte a second, whoever has sent a request is served.
"""

import contextlib
import errno
import logging
import select
import socket
import struct
import time
from dataclasses import dataclass
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from api.trickle import PATIENT_S
from api.worth import FIRST_BYTES, HEAD_AT_MOST_BYTES, HeadTooLargeError, wanted_bytes
from shared.threads import ServingPool

log = logging.getLogger(__name__)

_LOOK_S = 0.25
#: A thread waits no longer for a piece of a head, of which all should have come.
_HEAD_PIECE_S = 5
#: How long, and for how much, who was answered is listened to: closed over unread bytes, the answer is lost.
_PARTING_S, _PARTING_BYTES = 2.0, 65_536
#: So many connections must be free for those who come.
_SPARE = 32
_REFUSAL = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_SLOW, _TOO_LARGE = _REFUSAL % b"408 Request Timeout", _REFUSAL % b"431 Request Header Fields Too Large"
#: What of a connection that has ended the system still tells; macOS does not.
_ENDED = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


@dataclass(slots=True)
class _Wait:
    """What a connection waits for, and until when."""

    wanted: int  #: bytes that lie unread
    until: float
    is_polled: bool = True  #: or looked at again and again, where the system wakes us too early


@dataclass(slots=True)
class _Parting:
    """A connection that was answered for the last time."""

    until: float
    left_bytes: int = _PARTING_BYTES


class PatientWorker(ThreadWorker):
    """A worker with threads whose connections wait without one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waits: dict[Any, _Wait] = {}
        self._partings: dict[Any, _Parting] = {}
        self._looked = 0.0

    def get_thread_pool(self) -> ServingPool:
        """Return what serves requests."""
        return ServingPool(max_workers=self.cfg.threads)

    # --- waiting ----------------------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        """Take a connection in, and make room for the next."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            self._close_oldest()
        while self.nr_conns > self.worker_connections - _SPARE and self._close_oldest():
            pass

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection a thread, or wait until it is worth one."""
        self._look(conn, None)

    def _look(self, conn: Any, wait: _Wait | None) -> None:
        """Serve a connection, or go on to wait for it."""
        try:
            missing, is_early = self._missing(conn, wait.wanted if wait else 0)
        except HeadTooLargeError:
            self._refuse(conn, _TOO_LARGE)
            return
        if missing:
            until = wait.until if wait and wait.wanted > 1 else self._patience(missing)
            self._await(conn, _Wait(missing, until, is_polled=not is_early))
        else:
            self._serve(conn)

    def _patience(self, missing: int) -> float:
        return time.monotonic() + (self.cfg.keepalive if missing == 1 else PATIENT_S)

    def _missing(self, conn: Any, woken_for: int) -> tuple[int, bool]:
        """Return how many bytes must lie unread, 0 if they do or no more will; and if we woke too early."""
        if self.cfg.is_ssl:
            return 0, False
        buffered = conn.parser.unreader.buf.getvalue() if conn.initialized else b""
        try:
            conn.sock.setblocking(False)  # noqa: FBT003 - the system's own
            come = conn.sock.recv(HEAD_AT_MOST_BYTES + FIRST_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            come = b""
        except OSError:
            return 0, False  # the thread finds out
        else:
            if not come:
                return 0, False  # it has ended
        seen = buffered + come
        wanted = wanted_bytes(seen) if seen else 1
        if len(seen) >= wanted or _has_ended(conn.sock):
            return 0, False
        return wanted - len(buffered), len(come) < woken_for

    def _await(self, conn: Any, wait: _Wait) -> None:
        if wait.is_polled:
            try:  # the system wakes us once so many bytes are there, and not at each one
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wait.wanted)
                self.poller.register(conn.sock, EVENT_READ, partial(self._come, conn))
            except (OSError, ValueError, KeyError):
                self._serve(conn)  # it is gone, which the thread finds out
                return
        self._waits[conn] = wait

    def _come(self, conn: Any, _socket: Any) -> None:
        """Look at a connection of which as much has come as was wanted, or all that ever will."""
        if conn in self._waits:  # or it was closed to make room for one that came in the same moment
            self._look(conn, self._taken(conn))

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Take up a connection that was kept, unless it was closed to make room in the same moment."""
        if conn in self.keepalived_conns:
            super().on_client_socket_readable(conn, client)

    def _taken(self, conn: Any) -> _Wait:
        wait = self._waits.pop(conn)
        if wait.is_polled:
            self.poller.unregister(conn.sock)
        return wait

    def _serve(self, conn: Any) -> None:
        with contextlib.suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            limit = struct.pack("ll", _HEAD_PIECE_S, 0)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        conn.data_ready = True
        conn.close = partial(self._part, conn)
        super().enqueue_req(conn)

    # --- ending -----------------------------------------------------------------------------------

    def murder_pending(self) -> None:
        """Close who has sent too little for too long; gunicorn calls this again and again."""
        super().murder_pending()
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        for conn in [conn for conn, parting in self._partings.items() if parting.until <= now]:
            self._parted(conn)
        for conn in [conn for conn, wait in self._waits.items() if not wait.is_polled and wait.until > now]:
            self._look(conn, self._taken(conn))
        late = [conn for conn, wait in self._waits.items() if wait.until <= now]
        begun = sum([self._close(conn) for conn in late])
        if begun:
            log.info("request.too_slow", extra={"cut_off": begun, "after_s": PATIENT_S})

    def _close_oldest(self) -> bool:
        """Make room: close who has sent nothing for longest, or who has begun first; say if there was one."""
        waiting = min(self._waits.items(), key=lambda each: (each[1].wanted > 1, each[1].until), default=None)
        if waiting:
            self._close(waiting[0])
        elif self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0
            self.murder_keepalived()
        return waiting is not None or bool(self.keepalived_conns)

    def _close(self, conn: Any) -> bool:
        """Close a connection that waits; say whether it had begun to send a request."""
        has_begun = self._taken(conn).wanted > 1
        self._refuse(conn, _TOO_SLOW if has_begun else b"")
        return has_begun

    def _refuse(self, conn: Any, answer: bytes) -> None:
        with contextlib.suppress(OSError):
            if answer:
                conn.sock.send(answer)
            conn.sock.recv(_PARTING_BYTES)  # or the answer is lost: the system resets over unread bytes
        self.nr_conns -= 1
        conn.sock.close()

    def _part(self, conn: Any, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's own
        """Close a connection as gunicorn does, but let nobody wait for a client that keeps its end open."""
        del conn.close  # it stands for this, and knows the connection
        if not graceful or self.cfg.is_ssl:
            conn.sock.close()
            return
        try:
            conn.sock.setblocking(False)  # noqa: FBT003 - the system's own
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._read_rest, conn))
        except (OSError, ValueError, KeyError):
            conn.sock.close()
            return
        self.nr_conns += 1
        self._partings[conn] = _Parting(time.monotonic() + _PARTING_S)

    def _read_rest(self, conn: Any, _socket: Any) -> None:
        parting = self._partings[conn]
        try:
            size = len(conn.sock.recv(parting.left_bytes))
        except BlockingIOError:
            return
        except OSError:
            size = 0
        parting.left_bytes -= size
        if not size or parting.left_bytes <= 0:
            self._parted(conn)

    def _parted(self, conn: Any) -> None:
        del self._partings[conn]
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.sock.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Wait no longer than this for connections that have sent nothing: the worker is being stopped."""
        super()._cap_keepalive(deadline)  # type: ignore[misc]  # unknown to the stubs
        for wait in self._waits.values():
            if wait.wanted == 1:
                wait.until = min(wait.until, deadline)


def _has_ended(sock: socket.socket) -> bool:
    """Whether a client will send no more, though what it has sent lies there."""
    poll = select.poll()
    poll.register(sock, _ENDED)
    return bool(poll.poll(0))
