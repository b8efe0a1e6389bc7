"""A way to a fake Cloud Storage that is no network: what is asked is answered at once, in the asker's thread.

All of Google's client is there, down to urllib3's connections, which have a wire where they had a socket.
What does not come is waited for as long as the client has told its socket to, by whatever sleep is given.
"""

import errno
import io
import socket
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from tests.gcs_fake import GcsFake, Handler


def lay(adapter: HTTPAdapter, fake: GcsFake, sleep: Callable[[float], object]) -> None:
    """Let an adapter's connections lead to a fake, which has not been started."""
    fake.released.set()  # who stalls lets nobody wait but on the wire
    connect = partial(_Connection, partial(_Wire, fake, sleep))
    adapter.poolmanager.pool_classes_by_scheme = {"http": partial(_Pool, connect)}


class _Pool(HTTPConnectionPool):
    def __init__(self, connect: Callable[..., HTTPConnection], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ConnectionCls = connect


class _Connection(HTTPConnection):
    def __init__(self, new_wire: Callable[[], "_Wire"], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._new_wire = new_wire

    def _new_conn(self) -> Any:
        return self._new_wire()

    @property
    def is_connected(self) -> bool:
        return self.sock is not None and self.sock.is_open


class _Wire:
    """The client's end: as much of a socket as it uses."""

    def __init__(self, fake: GcsFake, sleep: Callable[[float], object]) -> None:
        self._fake, self._sleep, self._sent = fake, sleep, bytearray()
        self._timeout_s: float | None = None
        self.is_open = True
        fake.connections += 1

    def settimeout(self, seconds: float | None) -> None:
        self._timeout_s = seconds

    def sendall(self, data: bytes) -> None:
        self._sent += data

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what is answered to all that has been sent since the last answer."""
        there = _There(bytes(self._sent))
        self._sent.clear()
        handler = _Once(there, ("wire", 0), SimpleNamespace(fake=self._fake))
        self.is_open = not handler.close_connection
        return io.BufferedReader(_Coming(there, self._wait))

    def _wait(self) -> None:
        assert self._timeout_s is not None, "a client that waits for ever"
        self._sleep(self._timeout_s)
        raise TimeoutError("timed out")

    def close(self) -> None:
        self.is_open = False


class _There:
    """The fake's end, with one request."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.answer, self.is_reset = bytearray(), False

    def makefile(self, _mode: str, _size: int) -> io.BytesIO:
        return io.BytesIO(self._request)

    def sendall(self, data: bytes) -> None:
        self.answer += data

    def setsockopt(self, _level: int, option: int, _value: object) -> None:
        self.is_reset |= option == socket.SO_LINGER

    def close(self) -> None:
        """Whether this is a reset has been said before."""


class _Once(Handler):
    """Answers the one request, and looks for no other."""

    handle = Handler.handle_one_request


class _Coming(io.RawIOBase):
    """An answer as it comes; behind it the connection is reset, or nothing comes."""

    def __init__(self, there: _There, wait: Callable[[], None]) -> None:
        self._there, self._wait, self._read = there, wait, 0

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        piece = self._there.answer[self._read : self._read + len(room)]
        if not piece and self._there.is_reset:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if not piece:
            self._wait()
        room[: len(piece)] = piece
        self._read += len(piece)
        return len(piece)
